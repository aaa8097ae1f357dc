"""What the consent stamps of events say, put on record: one record per change of mind."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

import consent
from app.events.item import Item, Speaker
from app.events.memory import NEVER, Heard, Memory
from consent.signals.segment import PREFERENCE_EVENT, Stamp


def stamp(item: Item, memory: Memory) -> Stamp:
    """Return what one event says about consent."""
    envelope = item.envelope
    return memory.stamp(item.source, envelope.context, snapshot=envelope.name == PREFERENCE_EVENT)


def record(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    speakers: Sequence[Sequence[Speaker]],
    memory: Memory,
    now: datetime,
) -> list[consent.Written]:
    """Record what the events' stamps say, for each identifier that speaks in them.

    A browser stamps every event. Only of identifiers that say something else than what they are
    remembered to have said anything is built: else the choices cost two thirds of a batch's time.
    """
    told = [
        n
        for n, said in enumerate(stamps)
        if said.whole or ((said.given or said.refused) and items[n].source.stamp_is_evidence)
    ]
    news = _news(items, stamps, speakers, told, memory)
    if not news:
        return []
    # In the order of their times, so that a banner's answer also withdraws what an event of the
    # same batch gave.
    told.sort(key=lambda n: items[n].envelope.occurred_at)
    pairs = [(n, speaker) for n in told for speaker in speakers[n] if speaker in news]
    changes = _changes(session, items, pairs)
    given = _given(session, {speaker for n, speaker in pairs if stamps[n].whole}, now)
    choices = _choices(items, stamps, pairs, given, changes, memory)
    written = consent.record(session, choices, received_at=now, repeat=False, changes=changes)
    memory.wrote(session, written)
    _remember(session, items, stamps, pairs, memory, now)
    return written


def _news(
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    speakers: Sequence[Sequence[Speaker]],
    told: Sequence[int],
    memory: Memory,
) -> set[Speaker]:
    """Return the identifiers whose events say anything that may not be on record yet."""
    news: set[Speaker] = set()
    for n in told:
        said, at = stamps[n], items[n].envelope.occurred_at
        for speaker in speakers[n]:
            heard = memory.heard(speaker)
            if (
                heard is None
                or (heard.stamp is not said and heard.stamp != said)
                or said.whole
                or not heard.since <= at < heard.until
            ):
                news.add(speaker)
    return news


def _choices(
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    pairs: Sequence[tuple[int, Speaker]],
    given: dict[Speaker, set[str]],
    changes: consent.Moments,
    memory: Memory,
) -> list[consent.Choice]:
    """Return what the stamps say; a repetition only where it may say something new."""
    choices = []
    said: dict[tuple[Speaker, str], tuple[str, bool, datetime]] = {}
    for n, speaker in pairs:
        stamp, at = stamps[n], items[n].envelope.occurred_at
        before = given.setdefault(speaker, set())
        silent = before - stamp.given if stamp.whole else set()
        states = dict.fromkeys(stamp.refused | silent, "refused")
        states |= dict.fromkeys(stamp.given, "given")
        # Nothing is taken away: what a late event refuses may have been given again since.
        given[speaker] = before | stamp.given
        for key, state in states.items():
            purpose = memory.purposes[key]
            last = said.get((speaker, key))
            if (
                last is None
                or last[:2] != (state, stamp.whole)
                or _outdated(last[2], at, purpose, changes.get(speaker, ()))
            ):
                said[speaker, key] = state, stamp.whole, at
                choices.append(_choice(items[n], speaker, purpose, state, stamp))
    return choices


def _outdated(
    said: datetime, at: datetime, purpose: consent.Purpose, changes: Sequence[datetime]
) -> bool:
    """Say whether what was said then may have lapsed, or been overtaken by a record, until now."""
    if purpose.valid_days is not None and at - said >= timedelta(days=purpose.valid_days):
        return True
    return bool(changes) and consent.changes_within(changes, said, at)


def _changes(
    session: Session, items: Sequence[Item], pairs: Sequence[tuple[int, Speaker]]
) -> consent.Moments:
    """Return when what is on record of those who speak more than once changes after the first."""
    first: dict[Speaker, datetime] = {}
    several: dict[Speaker, datetime] = {}
    for n, speaker in pairs:
        at = items[n].envelope.occurred_at
        if first.setdefault(speaker, at) != at:
            several[speaker] = first[speaker]
    return consent.moments(session, several) if several else {}


def _choice(
    item: Item, speaker: Speaker, purpose: consent.Purpose, state: str, stamp: Stamp
) -> consent.Choice:
    return consent.Choice(
        *speaker,
        purpose.key,
        state,
        item.envelope.occurred_at,
        collected_by=f"source:{item.source.name}",
        purpose_version=purpose.version,
        valid_days=purpose.valid_days,
        evidence={
            "signal": "segment",
            "message_id": item.envelope.message_id,
            **({} if stamp.whole else {"event_stamp": True}),
        },
    )


def _given(session: Session, speakers: set[Speaker], now: datetime) -> dict[Speaker, set[str]]:
    """Return the purposes that each of these identifiers has given, or gives from a later time on.

    Those of a clock that is ahead count: a banner's answer withdraws them before they begin.
    """
    given: dict[Speaker, set[str]] = {}
    if not speakers:
        return given
    records = consent.history(session, sorted(speakers))
    standings = consent.standings(records, at=now, known_at=now)
    for (namespace, value, purpose), (standing, _) in standings.items():
        if standing == "given":
            given.setdefault((namespace, value), set()).add(purpose)
    for row in records:
        if row.state == "given" and row.effective_at > now:
            given.setdefault((row.namespace, row.value), set()).add(row.purpose)
    return given


def _remember(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    pairs: Sequence[tuple[int, Speaker]],
    memory: Memory,
    now: datetime,
) -> None:
    """Remember who has said one thing only and has nothing newer on record.

    Not who said two things in this batch, or something older than what is on record: for these
    the next event is compared again. What is remembered holds between the two moments at which
    their records change.
    """
    last: dict[Speaker, tuple[Stamp, datetime]] = {}
    several: set[Speaker] = set()
    for n, speaker in pairs:
        stamp, at = stamps[n], items[n].envelope.occurred_at
        before = last.get(speaker)
        if stamp.whole or (before is not None and before[0] != stamp):
            several.add(speaker)
        last[speaker] = stamp, at
    wanted = {speaker: at for speaker, (_, at) in last.items() if speaker not in several}
    if not wanted:
        return
    heard: dict[Speaker, Heard] = {}
    for speaker, found in consent.bounds(session, wanted).items():
        if found.since is not None and found.newest <= min(wanted[speaker], now):
            heard[speaker] = Heard(last[speaker][0], found.since, found.until or NEVER)
    memory.keep_heard(session, heard)
