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
from app.profiles import computed_traits
from app.retention import exempt, parts, purposes, special
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
    #: Of the purposes: events, and identifiers whose traits went.
    events_without_purpose: int = 0
    profiles_without_purpose: int = 0
    #: Events whose values of special categories nobody may read any more.
    without_special_values: int = 0


def run(
    sessions: Sessions,
    lake: Path,
    *,
    rejected: timedelta,
    now: datetime | None = None,
    dry_run: bool = False,
    by_purpose: bool = True,
    page_days: int = 0,
) -> Expired | None:
    """Delete what is due and return how much; None when another process is at it.

    In small transactions, so that nobody waits, and each may be the last: a run that is cut short
    is taken up by the next. By a rule events go, and traits stay, since they say what is known and
    not what happened; with `by_purpose` both go when no purpose keeps them. What exempt measurement
    collected goes after 25 months in any case (`exempt`). Values of special
    categories go in any case when nobody may read them. What a page refused deletes nothing for
    `page_days` (`lasting`). `rejected` is how long rejected events are
    kept and may be replayed.
    """
    now = now or datetime.now(UTC)
    late = max(rejected, timedelta(seconds=LONGEST_PENDING))
    with exclusively(sessions, "retention") as mine:
        if not mine:
            return None
        due = _parts(sessions, now, late)
        without = purposes.ByPurpose()
        deleted = True  # if something fails it may have been after the first of them
        try:
            events = sum(_partition(sessions, part, now, really=not dry_run) for part in due)
            events += exempt.run(sessions, late=late, now=now, dry_run=dry_run)
            if by_purpose:
                without = purposes.run(
                    sessions, late=late, now=now, page_days=page_days, dry_run=dry_run
                )
            deleted = bool(events or without.events)
            apart = special.run(sessions, page_days=page_days, dry_run=dry_run)
        finally:  # what is deleted must leave the files and what is computed, whatever failed
            files = 0 if dry_run else _follow(sessions, lake, deleted)
        dropped = 0 if dry_run else partitions.drop_empty(sessions)
        return Expired(events, dropped, files, without.events, without.profiles, apart)


def _follow(sessions: Sessions, lake: Path, deleted: bool) -> int:
    try:
        if deleted:
            with sessions.begin() as session:
                computed_traits.look_again(session)
    finally:
        files = copy.rewrite_removed(sessions, lake)  # or the next hour's does it
    return files or 0


def _parts(sessions: Sessions, now: datetime, late: timedelta) -> list[int]:
    """Return the partitions that hold something older than the shortest rule."""
    with sessions() as session:
        shortest = session.scalar(sa.select(sa.func.min(RetentionRule.days)))
        if shortest is None:
            return []
        return parts.holding(session, now - timedelta(days=min(shortest, MOST_DAYS)), late)


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
