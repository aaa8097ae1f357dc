"""Reads events in commit order, each exactly once per reader."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement


def next_batch(session: Session, reader: str, limit: int) -> Sequence[sa.Row[Any]]:
    """Return the next events of a reader, in commit order, at most `limit`.

    The order is (transaction, id), and only transactions below the oldest one still running are
    read. An id alone would skip the events of a transaction that took its ids early and commits
    late; a test interleaves two writers to show it.
    """
    query = statement("app.events", "next_batch")
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


def backlog(session: Session, reader: str) -> int:
    """Return how many events a reader has still to read."""
    return session.scalar(statement("app.events", "backlog"), {"reader": reader}) or 0


def total(session: Session) -> int:
    """Return how many events are stored."""
    return session.scalar(sa.text("SELECT count(*) FROM app.event")) or 0
