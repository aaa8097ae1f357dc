"""May this event be collected at all? Decided before anything is written, and failing closed."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

import consent
from app.events.item import Item, Speaker
from app.events.memory import NEVER, Memory
from consent.resolve import UNCONDITIONAL
from consent.signals.segment import Stamp


@dataclass(slots=True)
class Denied:
    """The events that may not be collected, with the reason.

    `unanswered` are those of them whose people have said nothing yet, and may still agree.
    """

    reasons: dict[int, str] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)


def denied(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    speakers: Sequence[Sequence[Speaker]],
    memory: Memory,
    now: datetime,
) -> Denied:
    """Return the events that may not be collected, with the reason."""
    found = Denied()
    out = found.reasons
    asking: dict[str, list[int]] = {}
    conditional: dict[str, bool] = {}
    for n, item in enumerate(items):
        key = item.source.collection_purpose
        if key not in conditional:
            purpose = memory.purposes.get(key)
            conditional[key] = purpose is None or purpose.lawful_basis not in UNCONDITIONAL
        if not conditional[key]:
            continue
        if key not in memory.purposes:
            out[n] = "unknown_purpose"
        elif not stamps[n].readable:
            out[n] = "signal_unparsable"
        elif key in stamps[n].refused:
            out[n] = "refused"
        else:
            asking.setdefault(key, []).append(n)
    for key, numbers in asking.items():
        _ask(session, memory.purposes[key], speakers, numbers, memory, now, found)
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


def refused(stamp: Stamp, purposes: Mapping[str, consent.Purpose]) -> list[str]:
    """Return the purposes this event may never be used for, whatever its person says later."""
    if not stamp.readable:
        return sorted(k for k, p in purposes.items() if p.lawful_basis not in UNCONDITIONAL)
    return sorted(stamp.refused) if stamp.refused else []


def _ask(
    session: Session,
    purpose: consent.Purpose,
    speakers: Sequence[Sequence[Speaker]],
    numbers: Sequence[int],
    memory: Memory,
    now: datetime,
    found: Denied,
) -> None:
    """Decide events of one collection purpose by the records of their own identifiers."""
    asked = {speaker for n in numbers for speaker in speakers[n]}
    standings = _standings(session, purpose.key, asked, now, memory)
    reasons: dict[tuple[Speaker, ...], str | None] = {}
    quiet: set[tuple[Speaker, ...]] = set()
    for n in numbers:
        who = tuple(speakers[n])
        if who not in reasons:
            voices = [consent.Voice(*speaker, *standings[speaker]) for speaker in who]
            decision = consent.decide(purpose, voices, acting=voices[0] if voices else None)
            reasons[who] = None if decision.allow else decision.reason
            if not decision.allow and silent(voices):
                quiet.add(who)
        why = reasons[who]
        if why is not None:
            found.reasons[n] = why
            if who in quiet:
                found.unanswered.add(n)


def _standings(
    session: Session, purpose: str, speakers: set[Speaker], now: datetime, memory: Memory
) -> dict[Speaker, tuple[consent.Standing, str | None]]:
    """Return what these identifiers say about a purpose, from memory where it is known."""
    out = {}
    for speaker in speakers:
        known = memory.standing(speaker, purpose, now)
        if known is not None:
            out[speaker] = known
    unknown = speakers - out.keys()
    if not unknown:
        return out
    records = consent.history(session, sorted(unknown), purpose=purpose)
    found = consent.standings(records, at=now, known_at=now)
    until = dict.fromkeys(unknown, NEVER)
    for row in records:
        speaker = (row.namespace, row.value)
        for moment in (row.effective_at, row.recorded_at, row.valid_until):
            if moment is not None and moment > now:
                until[speaker] = min(until[speaker], moment)
    for speaker in unknown:
        out[speaker] = found.get((*speaker, purpose), ("unknown", None))
    memory.keep_standings(
        session, purpose, {speaker: (*out[speaker], now, until[speaker]) for speaker in unknown}
    )
    return out
