"""Rejected events: kept where consent allows it, listed, corrected and discarded.

What may be kept, and how much, says `kept.py`; how one becomes an event after all, `replay.py`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Raw
from sqlalchemy.orm import Session, defer

import consent
from app.access import reads
from app.access.sources import SourceSettings
from app.access.tables import Source
from app.db import statement
from app.errors import CorrectionInvalid, RejectedEventClosed, RejectedEventNotFound
from app.events import kept, special, tally
from app.events.body import to_message
from app.events.envelope import Rejection
from app.events.item import Item, Outcome
from app.events.message import with_gpc
from app.events.tables import RejectedCount, RejectedEvent
from app.plans.special import Labels
from app.suppression import mentions
from app.suppression.gate import Gate
from consent.reach import Reach, reach
from consent.resolve import UNCONDITIONAL
from identity.identifiers import NAMESPACES

#: Rows that one statement of the clean-up removes, so that no lock is held for long.
AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Refused:
    """What one source sent and was not accepted, and when it was received."""

    source: SourceSettings
    received_at: datetime
    rejection: Rejection


def unplanned(items: Iterable[Item], outcomes: Iterable[Outcome]) -> Iterator[Refused]:
    """Yield what of the appended events their tracking plan refused."""
    for item, outcome in zip(items, outcomes, strict=True):
        if outcome.rejection is not None:
            yield Refused(item.source, item.received_at, outcome.rejection)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rejected events are meant; None is any."""

    source_id: int | None = None
    code: str | None = None
    state: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """Yield what a row must fulfil."""
        for column, value in (
            (RejectedEvent.source_id, self.source_id),
            (RejectedEvent.code, self.code),
            (RejectedEvent.state, self.state),
        ):
            if value is not None:
                yield column == value
        if self.since is not None:
            yield RejectedEvent.received_at >= self.since
        if self.until is not None:
            yield RejectedEvent.received_at < self.until


def keep(session: Session, refused: Iterable[Refused], gate: Gate, special_names: Labels) -> None:
    """Keep what was not accepted, with the reason, so that it can be corrected and replayed.

    Where consent forbids it, it names somebody who was erased (`gate`), it may hold a value of a
    special category (by the names that plans declare), or the source has had its
    share of this minute, the event is only counted with its code. Call it last in a transaction:
    the bound is a lock on the source.
    """
    by_source: dict[int, list[Refused]] = {}
    for one in refused:
        by_source.setdefault(one.source.id, []).append(one)
    if not by_source:
        return
    purposes = consent.catalogue.purposes(session)
    reached = reach(purposes, consent.catalogue.history(session).states(datetime.now(UTC)))
    for source_id in sorted(by_source):  # all lock the sources in this order
        _keep(session, by_source[source_id], purposes, reached, gate, special_names)


def _keep(
    session: Session,
    refused: Sequence[Refused],
    purposes: Mapping[str, consent.Purpose],
    reached: Reach,
    gate: Gate,
    special_names: Labels,
) -> None:
    """Keep or count what one source sent."""
    source, newest = refused[0].source, max(one.received_at for one in refused)
    purpose = purposes.get(source.collection_purpose)
    dropped: Counter[tuple[str, str]] = Counter()
    allowed = []
    for one in refused:
        if not gate.empty and _names_erased(one, gate):
            dropped[one.rejection.code, "suppressed"] += 1
        elif special.mentioned(one.rejection.raw, special_names):
            dropped[one.rejection.code, special.NOT_COVERED] += 1
        elif kept.may_keep(
            one.rejection,
            purpose,
            reached=reached,
            categories=source.categories,
            rules=source.signals,
            now=newest,
        ):
            allowed.append(one)
        else:
            dropped[one.rejection.code, "consent"] += 1
    rows = _rows(session, allowed, newest) if allowed else []
    dropped.update((one.rejection.code, "bound") for one in allowed[len(rows) :])
    if rows:
        session.execute(sa.insert(RejectedEvent), rows)
    if dropped:
        _count(session, source.id, dropped, newest)
    codes = Counter((source.id, "rejected", one.rejection.code) for one in refused)
    del codes[source.id, "rejected", kept.UNREADABLE]  # counted with other whole requests
    tally.add(session, codes, newest)


def _names_erased(refused: Refused, gate: Gate) -> bool:
    """Say whether anything in what was sent, or its message id, is an identifier of theirs."""
    raw = refused.rejection.raw
    text = bytes(raw or b"").decode("utf-8", "replace")
    texts = [text, kept.message_id(refused.rejection) or ""]
    return any(gate.refuses(mentions.named(one, gate.namespaces)) for one in texts)


def _rows(session: Session, allowed: Sequence[Refused], newest: datetime) -> list[dict[str, Any]]:
    """Return the rows of the first rejections for which this minute has room.

    The row of the source is locked until the end of the transaction, so that several processes
    together keep to the bound.
    """
    source_id = allowed[0].source.id
    room = session.execute(
        statement("app.events", "rejected_room"), {"source_id": source_id, "at": newest}
    ).one()
    events, size = room.events, room.bytes
    rows = []
    for one in allowed:
        if events >= kept.MOST_PER_MINUTE or size >= kept.BYTES_PER_MINUTE:
            break
        row = _row(one)
        rows.append(row)
        events, size = events + 1, size + len((row["payload"] or "").encode())
    session.execute(
        statement("app.events", "rejected_taken"),
        {"source_id": source_id, "events": events, "bytes": size},
    )
    return rows


def _row(refused: Refused) -> dict[str, Any]:
    rejection = refused.rejection
    text = kept.text_of(rejection.raw)
    kind, name = kept.type_and_name(rejection.raw)
    return {
        "source_id": refused.source.id,
        "received_at": refused.received_at,
        "code": rejection.code,
        "message": kept.plain(rejection.message) or "",
        "details": kept.details(rejection),
        "message_id": kept.message_id(rejection),
        "type": kind,
        "name": name,
        "payload": text.text if text else None,
        "size": text.size if text else 0,
        "truncated": text.truncated if text else False,
        "replayable": text.replayable if text else False,
        "gpc": rejection.gpc or kept.opted_out(rejection.raw),
    }


def _count(
    session: Session, source_id: int, dropped: Mapping[tuple[str, str], int], at: datetime
) -> None:
    rows = [{"code": c, "why": why, "events": n} for (c, why), n in sorted(dropped.items())]
    session.execute(
        statement("app.events", "rejected_count"),
        {"source_id": source_id, "at": at, "rows": json.dumps(rows)},
    )


def page(
    session: Session, wanted: Wanted, *, before: int | None, limit: int, payload: bool = False
) -> tuple[list[RejectedEvent], int | None]:
    """Return rejected events, newest first, and where the next page begins."""
    query = sa.select(RejectedEvent).where(*wanted.conditions())
    if before is not None:
        query = query.where(RejectedEvent.id < before)
    if not payload:
        query = query.options(defer(RejectedEvent.payload))
    rows = list(session.scalars(query.order_by(RejectedEvent.id.desc()).limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def saw(session: Session, rows: Iterable[RejectedEvent]) -> None:
    """Note that what was sent was looked at, of whom it names by an identifier that is known.

    Looked for are values of the namespaces that ship, anywhere in it.
    """
    found = {one for row in rows for one in mentions.named(row.payload or "", NAMESPACES)}
    if found:
        namespaces, values = zip(*sorted(found), strict=True)
        query = sa.text(
            "SELECT i.id FROM unnest(CAST(:namespaces AS text[]), CAST(:values AS text[]))"
            " AS said(namespace, value) JOIN identity.identifier i USING (namespace, value)"
        )
        known = session.scalars(query, {"namespaces": list(namespaces), "values": list(values)})
        reads.saw(session, known, purpose=None)


def number(session: Session, wanted: Wanted) -> int:
    """Return how many there are."""
    query = sa.select(sa.func.count()).select_from(RejectedEvent).where(*wanted.conditions())
    return session.scalar(query) or 0


def find(session: Session, rejected_id: int) -> RejectedEvent:
    """Return one rejected event; raises RejectedEventNotFound."""
    return _found(session.get(RejectedEvent, rejected_id), rejected_id)


def take(session: Session, rejected_id: int) -> RejectedEvent:
    """Return one that is open, locked until this transaction ends.

    Whoever comes second waits here and then sees what became of it. Raises RejectedEventNotFound
    and RejectedEventClosed.
    """
    query = (
        sa.select(RejectedEvent)
        .where(RejectedEvent.id == rejected_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = _found(session.scalar(query), rejected_id)
    if row.state != "open":
        raise RejectedEventClosed(f"rejected event {rejected_id} was {row.state} already")
    return row


def correct(row: RejectedEvent, event: Mapping[str, Any], *, by: str, now: datetime) -> None:
    """Put a corrected event in the place of what was sent; raises CorrectionInvalid.

    That its request carried Global Privacy Control holds for the corrected one, too.
    """
    if row.corrected_at is None:  # kept before migration 0083 it says so in its text alone
        row.gpc = row.gpc or kept.opted_out(Raw((row.payload or "").encode()))
    raw = to_message(event)
    raw = with_gpc(raw) if row.gpc else raw
    text = kept.text_of(raw)
    if text is None or not text.replayable:
        raise CorrectionInvalid(f"it has more than {kept.WHOLE_BYTES} bytes")
    row.type, row.name = kept.type_and_name(raw)
    row.payload, row.size = text.text, text.size
    row.truncated, row.replayable = False, True
    row.corrected_at, row.corrected_by = now, by


def close(row: RejectedEvent, state: str, *, by: str, now: datetime) -> None:
    """End a rejected event. Its text goes: what was replayed is an event now, and kept as one."""
    row.state, row.closed_at, row.closed_by = state, now, by
    row.payload, row.replayable = None, False


def discard(session: Session, rejected_id: int, *, by: str, now: datetime) -> None:
    """Give a rejected event up; raises RejectedEventNotFound and RejectedEventClosed.

    One that was discarded before stays so.
    """
    if find(session, rejected_id).state != "discarded":
        close(take(session, rejected_id), "discarded", by=by, now=now)
        session.flush()


def counts(session: Session, *, source_id: int | None = None) -> list[dict[str, Any]]:
    """Return how many events of each source and code are open, replayed, discarded or not kept."""
    rows = session.execute(
        statement("app.events", "rejected_counts"), {"source_id": source_id}
    ).mappings()
    return [dict(row) for row in rows]


def describe(row: RejectedEvent, source: str) -> dict[str, Any]:
    """Return what is known of a rejected event, without what was sent."""
    return {
        "id": row.id,
        "source": source,
        "received_at": row.received_at.isoformat(),
        "code": row.code,
        "message": row.message,
        "details": row.details or [],
        "message_id": row.message_id,
        "type": row.type,
        "name": row.name,
        "state": row.state,
        "size": row.size,
        "truncated": row.truncated,
        "replayable": row.replayable,
        "gpc": row.gpc,
        "attempts": row.attempts,
        "corrected_at": row.corrected_at.isoformat() if row.corrected_at else None,
        "corrected_by": row.corrected_by,
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
        "closed_by": row.closed_by,
        "outcome": row.outcome,
        "result_message_id": row.result_message_id,
    }


def source_names(session: Session, ids: set[int]) -> dict[int, str]:
    """Return the names of these sources, those that were removed included."""
    query = sa.select(Source.id, Source.name).where(Source.id.in_(sorted(ids)))
    return {row.id: row.name for row in session.execute(query)}


def clean_up(session: Session, now: datetime, *, keep: timedelta) -> bool:
    """Remove what is older than `keep`, too much, or no longer allowed; say whether more waits.

    A source that was set to collect on consent loses what it had kept before: its people were
    not asked.
    """
    oldest = now - keep
    purposes = consent.catalogue.purposes(session)
    lawful = sorted(k for k, p in purposes.items() if p.lawful_basis in UNCONDITIONAL)
    gone = session.execute(
        statement("app.events", "rejected_clean_up"),
        {
            "oldest": oldest,
            "lawful": lawful,
            "most": kept.MOST_PER_SOURCE,
            "bytes": kept.BYTES_PER_SOURCE,
            "at_once": AT_ONCE,
        },
    ).all()
    session.execute(sa.delete(RejectedCount).where(RejectedCount.hour_at < oldest))
    return len(gone) == AT_ONCE


def _found(row: RejectedEvent | None, rejected_id: int) -> RejectedEvent:
    if row is None:
        raise RejectedEventNotFound(str(rejected_id))
    return row
