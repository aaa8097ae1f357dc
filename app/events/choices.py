"""What the consent stamps of events say, put on record: one record per change of mind."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

import consent
from app.access.sources import SourceSettings
from app.consents import in_use
from app.events import overtaken
from app.events.alike import Alike
from app.events.item import Item, Speaker
from app.events.memory import NEVER, Heard, Memory
from app.events.times import SKEW_BELIEVED
from consent.reach import universal
from consent.signals.stamp import Stamp


class Recorded(NamedTuple):
    """The records that events made, and of whom they brought another TC string."""

    written: Sequence[consent.Written]
    vendors: Collection[Speaker]


NOTHING = Recorded((), ())


def record(
    session: Session,
    items: Sequence[Item],
    groups: Sequence[Alike],
    memory: Memory,
    now: datetime,
) -> Recorded:
    """Record what the events' stamps say, for each identifier that speaks in them.

    A browser stamps every event. Only of identifiers that say something else than what they are
    remembered to have said anything is built: else the choices cost two thirds of a batch's time.
    """
    told = [group for group in groups if _tells(group)]
    news = {speaker for group in told for speaker in _news(items, group, memory)}
    again = memory.contradicted(session)
    if not news and not again:
        return NOTHING
    # In the order of their times, so that a banner's answer also withdraws what an event of the
    # same batch gave.
    moments = sorted(
        (items[n].envelope.occurred_at, n, group)
        for group in told
        if not news.isdisjoint(group.speakers)
        for n in group.numbers
    )
    said = [
        Said(items[n], group.stamp, speaker)
        for _, n, group in moments
        for speaker in group.speakers
        if speaker in news
    ]
    changes = _changes(session, said, again)
    given = _given(session, {one.speaker for one in said if one.stamp.whole}, now)
    later = overtaken.refused_since(session, said, changes.keys(), memory, now)
    choices, unheard = _choices(said, given, changes, memory, later)
    choices += _said_again(again, memory)
    if any(choice.state != "given" for choice in choices):
        choices += _added_meanwhile(session, choices, memory, now)
    strings = {one.speaker: (one.stamp.tc, _at(one)) for one in said if one.stamp.tc}
    doubtful = {one.speaker for one in said if one.stamp.tc and _doubted(one.item)}
    other = consent.vendors.new(session, strings) if strings else set()
    denying = {(c.namespace, c.value) for c in choices if c.state != "given"} | other
    if denying:  # what is being sent was decided before this; who is new is in nothing yet
        in_use.wait(session, memory.known(session, denying))
    written = consent.record(session, choices, received_at=now, repeat=False, changes=changes)
    consent.vendors.keep(session, strings, doubtful)
    memory.wrote(session, written)
    _remember(session, said, written, changes.keys(), memory, now, unheard)
    return Recorded(written, other)


class Said(NamedTuple):
    """What one event says about consent on behalf of one of its identifiers."""

    item: Item
    stamp: Stamp
    speaker: Speaker


def _at(said: Said) -> datetime:
    """Return when it was said: no clock that is ahead outranks what is said later."""
    return min(said.item.envelope.occurred_at, said.item.received_at)


def _tells(group: Alike) -> bool:
    """Say whether these events say anything that goes on record."""
    said = group.stamp
    if said.answer or said.opt_out:
        return True
    return bool(said.given or said.refused if group.source.stamp_is_evidence else said.registered)


def _news(items: Sequence[Item], group: Alike, memory: Memory) -> Iterator[Speaker]:
    """Yield the identifiers for which one of these events may say what is not on record yet."""
    said = group.stamp
    if said.answer:
        yield from group.speakers
        return
    times = [items[n].envelope.occurred_at for n in group.numbers]
    first, last = min(times), max(times)
    for speaker in group.speakers:
        heard = memory.heard(speaker)
        if (
            heard is None
            or (heard.stamp is not said and heard.stamp != said)
            or first < heard.since
            or last >= heard.until
        ):
            yield speaker
        else:
            memory.repeated(speaker, heard, last, items[group.numbers[-1]].received_at)


def _choices(
    said: Sequence[Said],
    given: dict[Speaker, set[str]],
    changes: consent.Moments,
    memory: Memory,
    later: Mapping[tuple[Speaker, datetime], frozenset[str]],
) -> tuple[list[consent.Choice], set[Speaker]]:
    """Return what the stamps say; a repetition only where it may say something new.

    And of whom a yes is left out, which a no came before that was said `later`.
    """
    choices: list[consent.Choice] = []
    unheard: set[Speaker] = set()
    before_it: dict[
        tuple[Speaker, str], tuple[tuple[str, bool, bool, datetime | None], datetime]
    ] = {}
    for item, stamp, speaker in said:
        at = item.envelope.occurred_at
        before = given.setdefault(speaker, set())
        silent = before - stamp.given if stamp.whole else set()
        evident = item.source.stamp_is_evidence or stamp.answer
        yes = stamp.given if evident else stamp.given & stamp.registered
        no = _no(stamp, item.source)
        states = dict.fromkeys(no | silent | stamp.opt_out, "refused") | dict.fromkeys(yes, "given")
        # Nothing is taken away: what a late event refuses may have been given again since.
        given[speaker] = before | yes
        for key, state in states.items():
            # What came out of order is not the last word, though nothing is on record of that.
            if (
                state == "given"
                and not stamp.answer
                and (memory.refused_since(speaker, key, at) or key in later.get((speaker, at), ()))
            ):
                unheard.add(speaker)
                continue
            # What was agreed to is what was asked then, whenever we hear of it.
            answered_at = _answered(stamp, key, at) if state == "given" else None
            asked_at = min(at, item.received_at, answered_at or at)
            purpose = memory.versions.at(key, asked_at)
            says = state, stamp.answer, key in stamp.opt_out, answered_at
            last = before_it.get((speaker, key))
            if (
                last is None
                or stamp.answer
                or last[0] != says
                or consent.changes_within(changes.get(speaker, ()), last[1], at)
            ):
                before_it[speaker, key] = says, at
                source, name = item.source, item.envelope.message_id
                one = _choice(source, name, _since(item, state), speaker, purpose, state, stamp)
                choices.append(replace(one, answered_at=answered_at))
    return choices, unheard


def _answered(stamp: Stamp, key: str, at: datetime) -> datetime | None:
    """Return when a purpose was given before the event that says so, where a signal tells.

    TC strings tell the day alone (TCF 2.2, LastUpdated): an answer of that day is given by its
    event. By its day's midnight it would be to what was asked before, when a new version takes
    effect in the course of the day.
    """
    said = stamp.answered_at if key in stamp.dated else None
    if said is not None and stamp.answer and at - said < timedelta(days=1):
        return None
    return said


def _added_meanwhile(
    session: Session, choices: Sequence[consent.Choice], memory: Memory, now: datetime
) -> list[consent.Choice]:
    """Return the refusals of what came to be refused with these since this batch began.

    Below a refused purpose, or among what a universal opt-out refuses. From here on until the
    commit nothing does: whoever adds it would not see these.
    """
    consent.catalogue.hold(session)
    if consent.catalogue.count(session) == len(memory.versions):
        return []
    versions = consent.catalogue.history(session)
    trees = versions.states(now)
    signalled = universal(trees) - memory.reach.universal
    said = {(c.namespace, c.value, c.purpose) for c in choices}
    found: dict[tuple[str, str, str, datetime, str | None], consent.Choice] = {}
    for no in choices:
        if no.state == "given":
            continue
        keys = {k for tree in trees for k in consent.purposes.below(tree.values(), no.purpose)}
        keys -= memory.below(no.purpose)
        for key in sorted(keys | signalled if no.universal else keys):
            if (no.namespace, no.value, key) not in said:
                purpose = versions.at(key, min(no.effective_at, now))
                one = replace(
                    no, purpose=key, purpose_version=purpose.version, valid_days=purpose.valid_days
                )
                found[no.namespace, no.value, key, no.effective_at, no.universal] = one
    return list(found.values())


def _said_again(again: Mapping[Speaker, Heard], memory: Memory) -> Iterator[consent.Choice]:
    """Yield what was refused again before others recorded what may have been said earlier.

    Where that gives what was refused, the no came last: only then is this written.
    """
    for speaker, heard in again.items():
        source, stamp, at = heard.source, heard.stamp, _earliest(heard)
        if at is None:
            continue
        for key in sorted(_no(stamp, source) | stamp.opt_out):
            purpose = memory.versions.at(key, at)
            yield _choice(source, None, at, speaker, purpose, "refused", stamp)


def _earliest(heard: Heard) -> datetime | None:
    """Return when it was said again; no clock that is ahead outranks what is said later."""
    if heard.again is None or heard.received is None:
        return None
    return min(heard.again, heard.received)


def _no(stamp: Stamp, source: SourceSettings) -> frozenset[str]:
    """Return what a stamp refuses that goes on record, universal opt-outs aside."""
    evident = source.stamp_is_evidence or stamp.answer
    return stamp.refused if evident else stamp.refused & stamp.registered


def _changes(
    session: Session, said: Sequence[Said], again: Mapping[Speaker, Heard]
) -> consent.Moments:
    """Return when what is on record of each changes after the first thing said in their name.

    Whoever has nothing on record is not in it.
    """
    first = {who: at for who, heard in again.items() if (at := _earliest(heard)) is not None}
    for item, _, speaker in said:
        at = item.envelope.occurred_at
        first[speaker] = min(at, first.get(speaker, at))
    return consent.moments(session, first)


def _choice(
    source: SourceSettings,
    message_id: str | None,
    since: datetime,
    speaker: Speaker,
    purpose: consent.Purpose,
    state: str,
    stamp: Stamp,
) -> consent.Choice:
    return consent.Choice(
        *speaker,
        purpose.key,
        state,
        since,
        collected_by=f"source:{source.name}",
        purpose_version=purpose.version,
        valid_days=purpose.valid_days,
        evidence={
            "signal": ",".join(stamp.kinds),
            **({"message_id": message_id} if message_id else {}),
            **({} if stamp.answer else {"event_stamp": True}),
            **({"server_side": True} if source.server_side else {}),
            **({"signals": stamp.raw} if stamp.raw else {}),
            **({"signal_conflict": True} if purpose.key in stamp.conflicts else {}),
        },
        universal="opt_out" if purpose.key in stamp.opt_out else None,
    )


def _since(item: Item, state: str) -> datetime:
    """Return since when a choice counts: a refusal loses nothing by a clock that cannot be right.

    Of a device whose clock is years behind it would else be older than the grant that it ends.
    """
    if state != "given" and _doubted(item):
        return item.received_at
    return item.envelope.occurred_at


def _doubted(item: Item) -> bool:
    """Say whether an event's clock cannot be right: it is years off."""
    sent = item.envelope.sent_at
    return sent is not None and not item.imported and abs(item.received_at - sent) > SKEW_BELIEVED


def _given(session: Session, speakers: set[Speaker], now: datetime) -> dict[Speaker, set[str]]:
    """Return the purposes that each of these identifiers has given, or gives from a later time on.

    Those of a clock that is ahead count: a banner's answer withdraws them before they begin.
    """
    given: dict[Speaker, set[str]] = {}
    if not speakers:
        return given
    records = consent.history(session, sorted(speakers))
    # Of no purpose: a grant that is stale is withdrawn all the same.
    standings = consent.standings(records, at=now, known_at=None, purposes={})
    for (namespace, value, purpose), said in standings.items():
        if said.standing in ("given", "unproven"):
            given.setdefault((namespace, value), set()).add(purpose)
    for row in records:
        if row.state == "given" and row.effective_at > now:
            given.setdefault((row.namespace, row.value), set()).add(row.purpose)
    return given


def _remember(
    session: Session,
    said: Sequence[Said],
    written: Sequence[consent.Written],
    recorded: Collection[Speaker],
    memory: Memory,
    now: datetime,
    unheard: Collection[Speaker],
) -> None:
    """Remember who has said one thing only and has nothing newer on record.

    Not who said two things in this batch, or something older than what is on record, or what is
    left `unheard`: for these the next event is compared again. What is remembered holds between
    the two moments at which their records change.
    """
    last: dict[Speaker, Said] = {}
    several = set(unheard)
    for one in said:
        before = last.get(one.speaker)
        if one.stamp.answer or (before is not None and before.stamp != one.stamp):
            several.add(one.speaker)
        last[one.speaker] = one
    # Nor whose yes came late and may have lifted nothing for that: the next one in time does.
    several |= {
        one.speaker
        for one in said
        if one.speaker in recorded and now - one.item.envelope.occurred_at > overtaken.LATE
    }
    wanted = {
        speaker: one.item.envelope.occurred_at
        for speaker, one in last.items()
        if speaker not in several
    }
    if not wanted:
        return
    heard: dict[Speaker, Heard] = {}
    new_on_record = {(row.namespace, row.value) for row in written}
    # Most have nothing on record but what was written just now. Should another writer have added
    # something meanwhile, the next `Memory.refresh` names them and they are forgotten.
    new = {speaker: at for speaker, at in wanted.items() if speaker not in recorded}
    bounds = consent.bounds_of(written, new)
    if len(new) < len(wanted):
        others = {speaker: at for speaker, at in wanted.items() if speaker in recorded}
        bounds |= consent.bounds(session, others)
    for speaker, found in bounds.items():
        if found.since is not None and found.newest <= min(wanted[speaker], now):
            one, until = last[speaker], found.until or NEVER
            heard[speaker] = Heard(one.stamp, found.since, until, one.item.source)
            if speaker not in new_on_record:
                heard[speaker] = replace(
                    heard[speaker], again=wanted[speaker], received=one.item.received_at
                )
    memory.keep_heard(session, heard)
