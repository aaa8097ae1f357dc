"""Reads events in commit order, each exactly once per reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement

#: How far a backlog is counted, so that asking for it stays cheap when it is long.
MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events a reader has still to read, and when the oldest was received."""

    events: int
    oldest: datetime | None


def next_batch(session: Session, reader: str, limit: int) -> Sequence[sa.Row[Any]]:
    """Return the next events of a reader, in commit order, at most `limit`.

    The order is (transaction, id), and only transactions below the oldest one still running are
    read. An id alone would skip the events of a transaction that took its ids early and commits
    late; a test interleaves two writers to show it.
    """
    query = statement("app.events", "next_batch")
    return session.execute(query, {"reader": reader, "limit": limit}).all()


def next_outline(session: Session, reader: str, limit: int) -> Sequence[sa.Row[Any]]:
    """Return the next events as `next_batch` does, but only what resolving them needs.

    Who is named, when, what the event may not be used for, and the traits of identify calls (as
    JSON text; None of other calls).
    """
    query = statement("app.events", "next_outline")
    return session.execute(query, {"reader": reader, "limit": limit}).all()


def done(session: Session, reader: str, last: sa.Row[Any]) -> None:
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
