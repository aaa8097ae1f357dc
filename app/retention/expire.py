"""Deletes events that have been kept long enough: from the database, then from the lake's files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, exclusively, statement
from app.events import partitions
from app.lake import copy
from app.retention.tables import RetentionRule

#: Events looked through in one transaction: some tens of milliseconds.
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Expired:
    """What a run did, or with `dry_run` would have done."""

    events: int = 0
    partitions: int = 0
    files: int = 0


def run(
    sessions: Sessions, lake: Path, *, now: datetime | None = None, dry_run: bool = False
) -> Expired | None:
    """Delete what is due and return how much; None when another process is at it.

    In small transactions, so that nobody waits, and each may be the last: a run that is cut short
    is taken up by the next. Traits stay, since they say what is known and not what happened.
    """
    now = now or datetime.now(UTC)
    with exclusively(sessions, "retention") as mine:
        if not mine:
            return None
        events = sum(
            _partition(sessions, part, now, really=not dry_run) for part in _parts(sessions, now)
        )
        if dry_run:
            return Expired(events)
        # The files first: what is deleted must leave them, whoever holds on to a partition.
        files = copy.rewrite_removed(sessions, lake)
        return Expired(events, partitions.drop_empty(sessions), files)


def _parts(sessions: Sessions, now: datetime) -> list[int]:
    """Return the partitions that may hold something old enough."""
    with sessions() as session:
        shortest = session.scalar(sa.select(sa.func.min(RetentionRule.days)))
        if shortest is None:
            return []
        before = now - timedelta(days=shortest)
        return [
            p.part
            for p in partitions.list_all(session)
            if p.opened_at is not None and p.opened_at < before
        ]


def _partition(sessions: Sessions, part: int, now: datetime, *, really: bool) -> int:
    expired, transaction, last = 0, "0", 0
    session: Session
    while True:
        with sessions.begin() as session:
            row = session.execute(
                statement("app.retention", "expire"),
                {"part": part, "transaction": transaction, "id": last, "limit": BATCH, "now": now,
                 "really": really},
            ).one_or_none()  # fmt: skip
        if row is None:
            return expired
        expired, transaction, last = expired + row.expired, row.transaction, row.id
