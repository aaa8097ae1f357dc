"""May this event be collected at all? Decided before anything is written, and failing closed."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

import consent
from app.events import alone
from app.events.alike import Alike
from app.events.item import Item, Speaker
from app.events.memory import NEVER, Memory
from consent.resolve import UNCONDITIONAL
from identity import graph


@dataclass(slots=True)
class Denied:
    """The events that may not be collected, with the reason.

    `unanswered` are those of them whose people have said nothing yet, and may still agree.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)


def denied(session: Session, groups: Iterable[Alike], memory: Memory, now: datetime) -> Denied:
    """Return the events that may not be collected, with the reason."""
    found = Denied()
    asking: dict[str, list[Alike]] = {}
    exempt: list[Alike] = []
    for group in groups:
        key = group.source.collection_purpose
        purpose = memory.purposes.get(key)
        if purpose is not None and not purpose.linkable:
            exempt.append(group)
        if purpose is None:
            found.reasons |= dict.fromkeys(group.numbers, "unknown_purpose")
        elif purpose.lawful_basis in UNCONDITIONAL:
            continue
        elif not group.stamp.readable:
            found.reasons |= dict.fromkeys(group.numbers, "signal_unparsable")
        elif key in group.refused:
            found.reasons |= dict.fromkeys(group.numbers, "refused")
        else:
            asking.setdefault(key, []).append(group)
    for key, asked in asking.items():
        _ask(session, memory.purposes[key], asked, memory, now, found)
    old = _old_trackers(session, exempt, now)
    for group in exempt:
        if not old.isdisjoint(group.speakers):
            found.reasons |= dict.fromkeys(group.numbers, "tracker_expired")
            found.unanswered.difference_update(group.numbers)
    return found


def count(
    session: Session, items: Sequence[Item], reasons: Mapping[int, str], now: datetime
) -> None:
    """Count events that were not collected, by purpose and reason."""
    counts = Counter((items[n].source.collection_purpose, why) for n, why in reasons.items())
    if counts:
        consent.count_denials(
            session,
            use="collect",
            denials=[(purpose, why, count) for (purpose, why), count in counts.items()],
            at=now,
        )


def silent(voices: Collection[consent.Voice]) -> bool:
    """Say whether there is somebody to answer, and nobody has said anything yet.

    A refusal of one of the identifiers is an answer, and so is a consent that has lapsed.
    """
    return bool(voices) and all(voice.standing == "unknown" for voice in voices)


def refused(group: Alike, purposes: Mapping[str, consent.Purpose]) -> list[str]:
    """Return the purposes these events may never be used for, whatever their person says later.

    What is collected for a purpose that is not `linkable` (audience measurement exempt from
    consent) is for that one alone (`alone`): it joins nobody, is in no profile and goes nowhere.
    """
    own = purposes.get(group.source.collection_purpose)
    if own is not None and not own.linkable:
        return alone.refusing(own, purposes)
    if not group.stamp.readable:
        return sorted(k for k, p in purposes.items() if p.lawful_basis not in UNCONDITIONAL)
    return sorted(group.refused)


def lift(session: Session, groups: Iterable[Alike], memory: Memory, now: datetime) -> None:
    """Note of which universal opt-outs the people of these events have overridden.

    Call it when what the events say is on record: whoever allows the purpose then does so in
    spite of the signal, which the browser goes on sending.
    """
    asking: dict[str, list[Alike]] = {}
    for group in groups:
        for key in group.stamp.opt_out:
            asking.setdefault(key, []).append(group)
    for key, asked in asking.items():
        purpose = memory.purposes.get(key)
        if purpose is None:  # announced only: nobody can have overridden it yet
            continue
        for group, decision, _ in decisions(session, purpose, asked, memory, now):
            if decision.allow:
                group.lifted |= {key}


def decisions(
    session: Session,
    purpose: consent.Purpose,
    groups: Sequence[Alike],
    memory: Memory,
    now: datetime,
) -> Iterator[tuple[Alike, consent.Decision, list[consent.Voice]]]:
    """Yield what the records of each group's own identifiers decide about a purpose."""
    asked = {speaker for group in groups for speaker in group.speakers}
    standings = _standings(session, purpose, asked, now, memory)
    bands = consent.against_storing(session, asked, at=now) if asked else {}
    for group in groups:
        voices = [
            consent.Voice.of(
                speaker,
                standings[speaker],
                bar=consent.strictest(purpose, bands.get(speaker, ())),
            )
            for speaker in group.speakers
        ]
        yield group, consent.decide(purpose, voices, acting=voices[0] if voices else None), voices


def _ask(
    session: Session,
    purpose: consent.Purpose,
    groups: Sequence[Alike],
    memory: Memory,
    now: datetime,
    found: Denied,
) -> None:
    """Decide events of one collection purpose by the records of their own identifiers."""
    for group, decision, voices in decisions(session, purpose, groups, memory, now):
        if not decision.allow:
            found.reasons |= dict.fromkeys(group.numbers, decision.reason)
            if silent(voices):
                found.unanswered.update(group.numbers)


def _old_trackers(session: Session, groups: Iterable[Alike], now: datetime) -> set[Speaker]:
    """Return the devices' ids that exempt measurement may not go on with: 13 months and older.

    They do not get younger by being seen again (CNIL, research/consent.md 2.10).
    """
    asked = {s for group in groups for s in group.speakers if s[0] == "anonymous_id"}
    return graph.known_before(session, asked, now - timedelta(days=alone.TRACKER_DAYS))


def _standings(
    session: Session,
    purpose: consent.Purpose,
    speakers: set[Speaker],
    now: datetime,
    memory: Memory,
) -> dict[Speaker, consent.Said]:
    """Return what these identifiers say about a purpose, from memory where it is known."""
    out = {}
    for speaker in speakers:
        known = memory.standing(speaker, purpose.key, now)
        if known is not None:
            out[speaker] = known
    unknown = speakers - out.keys()
    if not unknown:
        return out
    records = consent.history(session, sorted(unknown), purpose=purpose.key)
    found = consent.standings(records, at=now, known_at=None, purposes=memory.purposes)
    until = dict.fromkeys(unknown, NEVER)
    for row in records:
        speaker = (row.namespace, row.value)
        for moment in (row.effective_at, row.valid_until):
            if moment is not None and moment > now:
                until[speaker] = min(until[speaker], moment)
    for speaker in unknown:
        out[speaker] = found.get((*speaker, purpose.key), consent.UNKNOWN)
    memory.keep_standings(
        session,
        purpose.key,
        {speaker: (out[speaker], now, until[speaker]) for speaker in unknown},
    )
    return out
