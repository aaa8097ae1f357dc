"""Deletes events that have been kept long enough: from the database, then from the lake's files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.definition import LONGEST_PENDING
from app.db import Sessions, exclusively, statement
from app.events import partitions
from app.lake import copy
from app.retention.rules import MOST_DAYS
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
    sessions: Sessions,
    lake: Path,
    *,
    rejected: timedelta,
    now: datetime | None = None,
    dry_run: bool = False,
) -> Expired | None:
    """Delete what is due and return how much; None when another process is at it.

    In small transactions, so that nobody waits, and each may be the last: a run that is cut short
    is taken up by the next. Traits stay, since they say what is known and not what happened.
    `rejected` is how long rejected events are kept and may be replayed.
    """
    now = now or datetime.now(UTC)
    late = max(rejected, timedelta(seconds=LONGEST_PENDING))
    with exclusively(sessions, "retention") as mine:
        if not mine:
            return None
        parts = _parts(sessions, now, late)
        if dry_run:
            return Expired(sum(_partition(sessions, part, now, really=False) for part in parts))
        try:
            events = sum(_partition(sessions, part, now, really=True) for part in parts)
        finally:  # what is deleted must leave the files, whatever failed after it
            files = copy.rewrite_removed(sessions, lake)
        return Expired(events, partitions.drop_empty(sessions), files)


def _parts(sessions: Sessions, now: datetime, late: timedelta) -> list[int]:
    """Return the partitions that hold something older than the shortest rule.

    A replayed or released event is as old as its receipt, and may lie in a partition that was
    opened up to `late` after it. So those of a month or two more are asked, and without an index:
    a million events of 400 bytes answer no in 0.7 s, where looking through them takes 7 to 17 s.
    """
    with sessions() as session:
        shortest = session.scalar(sa.select(sa.func.min(RetentionRule.days)))
        if shortest is None:
            return []
        before = now - timedelta(days=min(shortest, MOST_DAYS))
        return [
            p.part
            for p in partitions.list_all(session)
            if p.opened_at is not None
            and p.opened_at - late < before
            and _holds(session, p.part, before)
        ]


def _holds(session: Session, part: int, before: datetime) -> bool:
    older = f"SELECT EXISTS (SELECT FROM app.event_p{part} WHERE received_at < :before)"  # noqa: S608  # our own number
    return bool(session.scalar(sa.text(older), {"before": before}))


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
