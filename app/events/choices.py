"""What the consent stamps of events say, put on record: one record per change of mind."""

from collections.abc import Sequence
from datetime import UTC, datetime

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
    choices = _choices(session, items, stamps, pairs, memory)
    written = consent.record(session, choices, received_at=now, repeat=False)
    memory.wrote(written)
    _remember(session, items, stamps, pairs, memory)
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
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    pairs: Sequence[tuple[int, Speaker]],
    memory: Memory,
) -> list[consent.Choice]:
    choices = []
    given = _given(session, {speaker for n, speaker in pairs if stamps[n].whole})
    said: dict[tuple[Speaker, str], tuple[str, bool]] = {}
    for n, speaker in pairs:
        stamp = stamps[n]
        before = given.setdefault(speaker, set())
        silent = before - stamp.given if stamp.whole else set()
        states = dict.fromkeys(stamp.refused | silent, "refused")
        states |= dict.fromkeys(stamp.given, "given")
        given[speaker] = (before | stamp.given) - stamp.refused - silent
        for key, state in states.items():
            if said.get((speaker, key)) != (state, stamp.whole):
                said[speaker, key] = state, stamp.whole
                choices.append(_choice(items[n], speaker, memory.purposes[key], state, stamp))
    return choices


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


def _given(session: Session, speakers: set[Speaker]) -> dict[Speaker, set[str]]:
    """Return the purposes that each of these identifiers has given until now."""
    given: dict[Speaker, set[str]] = {}
    if not speakers:
        return given
    now = datetime.now(UTC)
    standings = consent.standings(consent.history(session, sorted(speakers)), at=now, known_at=now)
    for (namespace, value, purpose), (standing, _) in standings.items():
        if standing == "given":
            given.setdefault((namespace, value), set()).add(purpose)
    return given


def _remember(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    pairs: Sequence[tuple[int, Speaker]],
    memory: Memory,
) -> None:
    """Remember who has said one thing only and has nothing newer on record.

    Not who said two things in this batch, or something older than what is on record: for these
    the next event is compared again.
    """
    last: dict[Speaker, tuple[Stamp, datetime]] = {}
    several: set[Speaker] = set()
    for n, speaker in pairs:
        stamp, at = stamps[n], min(items[n].envelope.occurred_at, items[n].received_at)
        before = last.get(speaker)
        if stamp.whole or (before is not None and before[0] != stamp):
            several.add(speaker)
        last[speaker] = stamp, at
    wanted = {speaker: at for speaker, (_, at) in last.items() if speaker not in several}
    if not wanted:
        return
    heard = {}
    for speaker, (newest, until) in consent.bounds(session, wanted).items():
        at = wanted[speaker]
        if newest <= at:
            heard[speaker] = Heard(last[speaker][0], newest, until or NEVER)
    memory.keep_heard(session, heard)
