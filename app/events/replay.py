"""Replays rejected events: each goes the way of a new one, and its row says what became of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.orm import Session

from app.access.sources import SourceSettings, settings_of
from app.access.tables import Source
from app.db import DataRefused
from app.errors import BodyUnreadable, CorrectionRequired
from app.events import kept, rejected, tally
from app.events.append import append
from app.events.body import NONE, members_of, storable, with_members
from app.events.envelope import Envelope, Rejection, read
from app.events.item import Item, Outcome
from app.events.memory import Memory
from app.events.tables import RejectedEvent

#: Of the events that one transaction replays, so many bytes are in memory at once: parsed they
#: are several times as large.
AT_ONCE_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay made of one rejected event: accepted, duplicate, rejected or unfit."""

    id: int
    state: str
    outcome: str
    message_id: str | None
    code: str = ""
    message: str = ""


def replay(
    session: Session,
    rejected_id: int,
    *,
    event: Mapping[str, Any] | None = None,
    largest: int,
    by: str,
    now: datetime,
) -> Replayed:
    """Replay one rejected event, corrected where `event` says so.

    `largest` is the size limit of one event, where its source does not say otherwise.

    The event is appended and its row closed in this one transaction, so that of several who try
    at once exactly one does it. One that is refused again stays open with the new reason. Raises
    RejectedEventNotFound, RejectedEventClosed, CorrectionRequired and CorrectionInvalid.
    """
    row = rejected.take(session, rejected_id)
    if event is not None:
        rejected.correct(row, event, by=by, now=now)
    if not row.replayable:
        raise CorrectionRequired(_unfit(row))
    [done] = _replay(session, [row], largest=largest, by=by, now=now)
    return done


def replay_many(
    session: Session,
    wanted: rejected.Wanted,
    *,
    after: int,
    limit: int,
    largest: int,
    by: str,
    now: datetime,
) -> tuple[list[Replayed], int | None]:
    """Replay open events in the order in which they came, and say where to go on.

    What somebody else is replaying at this moment is left to them.
    """
    found = session.execute(
        sa.select(
            RejectedEvent.id,
            RejectedEvent.state,
            RejectedEvent.code,
            RejectedEvent.message_id,
            RejectedEvent.truncated,
            RejectedEvent.replayable,
            sa.func.octet_length(RejectedEvent.payload).label("bytes"),
        )
        .where(*wanted.conditions(), RejectedEvent.state == "open", RejectedEvent.id > after)
        .order_by(RejectedEvent.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    done: dict[int, Replayed] = {}
    for ids in _portions(row for row in found if row.replayable):
        query = sa.select(RejectedEvent).where(RejectedEvent.id.in_(ids)).order_by(RejectedEvent.id)
        rows = session.scalars(query).all()
        done |= {one.id: one for one in _replay(session, rows, largest=largest, by=by, now=now)}
    return [
        done.get(row.id)
        or Replayed(row.id, row.state, "unfit", row.message_id, row.code, _unfit(row))
        for row in found
    ], found[-1].id if len(found) == limit else None


def _portions(found: Iterable[sa.Row[Any]]) -> Iterator[list[int]]:
    """Yield the ids of so many at a time as may be in memory at once."""
    ids: list[int] = []
    size = 0
    for row in found:
        if ids and size + row.bytes > AT_ONCE_BYTES:
            yield ids
            ids, size = [], 0
        ids.append(row.id)
        size += row.bytes
    if ids:
        yield ids


def _unfit(row: RejectedEvent | sa.Row[Any]) -> str:
    if row.truncated:
        return "only the beginning of it is kept; send it with a corrected event"
    return "it is no JSON object; send it with a corrected event"


def _replay(
    session: Session, rows: Sequence[RejectedEvent], *, largest: int, by: str, now: datetime
) -> list[Replayed]:
    if not rows:
        return []
    sources = _sources(session, {row.source_id for row in rows})
    entries = [_read(row, sources.get(row.source_id), largest) for row in rows]
    items = [entry for entry in entries if isinstance(entry, Item)]
    appended = _append(session, items, now)
    stored = Counter(
        (item.source.id, "replayed", "")
        for item, outcome in zip(items, appended, strict=True)
        if outcome.state == "accepted"
    )
    tally.add(session, stored, now)
    outcomes = iter(appended)
    done = []
    for row, entry in zip(rows, entries, strict=True):
        row.attempts += 1
        if isinstance(entry, Item):
            outcome = next(outcomes)
            done.append(_settle(row, outcome, entry.envelope.message_id, by=by, now=now))
        else:
            outcome = Outcome("rejected", entry.code, entry.message)
            done.append(_settle(row, outcome, entry.message_id, by=by, now=now))
            row.details = kept.details(entry)
    session.flush()
    return done


def _sources(session: Session, ids: set[int]) -> dict[int, SourceSettings]:
    """Return the sources that still collect."""
    query = sa.select(Source).where(Source.id.in_(sorted(ids)), Source.removed_at.is_(None))
    return {source.id: settings_of(source) for source in session.scalars(query)}


def _read(row: RejectedEvent, source: SourceSettings | None, largest: int) -> Item | Rejection:
    """Read an event as if it had just come, at the time at which it first did.

    One that brought no message id keeps the one that its sender was told, so that it is the same
    event however often it is replayed.
    """
    if source is None:
        return Rejection("source_removed", "its source was removed", row.message_id)
    try:
        message = Raw(storable((row.payload or "").encode()))
    except BodyUnreadable as error:  # what is kept as a whole object can be parsed
        return Rejection(kept.UNREADABLE, str(error), row.message_id)
    own = (members_of(message) or {}).get("messageId", NONE)
    if row.message_id and bytes(own) in (b"", b"null", b'""'):
        message = with_members(message, {"messageId": row.message_id})
    entry = read(message, received_at=row.received_at, largest=source.max_event_bytes or largest)
    return Item(source, entry, row.received_at) if isinstance(entry, Envelope) else entry


def _append(session: Session, items: Sequence[Item], now: datetime) -> list[Outcome]:
    """Append all of them, or one by one when the database refuses one."""
    if not items:
        return []
    try:
        with session.begin_nested():
            return append(session, items, Memory(), now=now, counted=False)
    except DataRefused as error:
        if len(items) > 1:
            return [outcome for item in items for outcome in _append(session, [item], now)]
        reason = str(error.orig).splitlines()[0] if error.orig else "refused"
        return [Outcome("rejected", "unstorable", reason[:200])]


def _settle(
    row: RejectedEvent, found: Outcome, message_id: str | None, *, by: str, now: datetime
) -> Replayed:
    """Write into the row what became of its event."""
    if found.state != "rejected":
        rejected.close(row, "replayed", by=by, now=now)
        row.outcome, row.result_message_id = found.state, message_id
        return Replayed(row.id, row.state, found.state, message_id)
    row.code, row.message = found.code, kept.plain(found.message) or ""
    row.details = kept.details(found.rejection) if found.rejection else None
    if found.code in ("consent_denied", "suppressed"):  # then nothing of it may be kept
        rejected.close(row, "discarded", by=by, now=now)
    return Replayed(row.id, row.state, "rejected", message_id, row.code, row.message)
