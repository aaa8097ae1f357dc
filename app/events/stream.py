"""Reads events in commit order, each exactly once per reader."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement

#: How far a backlog is counted, so that asking for it stays cheap when it is long.
MOST_COUNTED = 100_000
#: A batch that is bounded by the number of its events alone.
ANY_SIZE = 2**62
#: Through a cursor, so that no more rows come than are taken: 50,000 of them took as long as all
#: at once, 1.1 s, with 50, 200 or 1,000 at a time. An imported event may be of megabytes, so 50.
FEW_AT_ONCE = {"stream_results": True, "max_row_buffer": 50}


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events a reader has still to read, and when the oldest was received."""

    events: int
    oldest: datetime | None


def next_batch(
    session: Session, reader: str, limit: int, *, largest: int = ANY_SIZE
) -> list[sa.Row[Any]]:
    """Return the next events of a reader, in commit order, at most `limit`.

    And no more once their texts exceed `largest` characters, but always one. The order is
    (transaction, id), and only transactions below the oldest one still running are read. An id
    alone would skip the events of a transaction that took its ids early and commits late; a test
    interleaves two writers to show it.
    """
    query = statement("app.events", "next_batch")
    batch: list[sa.Row[Any]] = []
    with session.execute(
        query, {"reader": reader, "limit": limit}, execution_options=FEW_AT_ONCE
    ) as rows:
        size = 0
        for row in rows:
            batch.append(row)
            size += len(row.properties) + len(row.context)
            if size > largest:
                break
    return batch


class Outline(msgspec.Struct, frozen=True, gc=False):
    """What resolving and projecting need of one event; `identifier_ids` begins with who acts.

    `traits` (as JSON text) are those of identify calls. `group_id` and `group_traits` (likewise)
    are those of group calls, and of Segment's event of who was removed from an account. Of other
    calls these are None, and so is `message_id`.
    """

    id: int
    stream_transaction: str
    source_id: int
    type: str
    identifier_ids: list[int]
    occurred_at: datetime
    received_at: datetime
    source_seq: int | None
    refused: list[str]
    message_id: str | None
    traits: str | None
    group_id: str | None = None
    group_traits: str | None = None


def next_outlines(session: Session, reader: str, limit: int) -> list[Outline]:
    """Return of the next events, in the order of `next_batch`, what resolving them needs."""
    query = statement("app.events", "next_outlines")
    rows = session.execute(query, {"reader": reader, "limit": limit})
    return [Outline(*row) for row in rows.all()]


def done(session: Session, reader: str, last: sa.Row[Any] | Outline) -> None:
    """Note, in the transaction that did the work, that a reader has come as far as this event."""
    session.execute(
        sa.text(
            "UPDATE app.progress SET transaction = CAST(CAST(:transaction AS text) AS xid8), "
            "event_id = :event_id WHERE reader = :reader"
        ),
        {"transaction": last.stream_transaction, "event_id": last.id, "reader": reader},
    )


def backlog(session: Session, reader: str) -> Backlog:
    """Return what a reader has still to read; beyond `MOST_COUNTED` events it is not counted."""
    row = session.execute(
        statement("app.events", "backlog"), {"reader": reader, "most": MOST_COUNTED}
    ).one()
    return Backlog(row.events, row.oldest)


def total(session: Session) -> int:
    """Return how many events are stored."""
    return session.scalar(sa.text("SELECT count(*) FROM app.event")) or 0
