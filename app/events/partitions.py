"""Partitions of the events: one is open for writing, the others are closed for ever.

    prepare ─► roll_over ─► (closed: found by a hash index) ─► (past the window: by none)

A roll-over takes the lock on the table that every insert takes too, so it waits for the writers
that are under way and the next ones wait for it, some milliseconds. Whatever is in a closed
partition was therefore committed before any later insert began, and is seen by it: an event that
comes again is found exactly, on whichever side of a roll-over (docs/decisions/0019).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, exclusively, outside_transaction, statement
from app.errors import PartitionBusy
from app.events.tables import EventPartition

#: A roll-over that has to wait longer for the writers gives up and is tried again later.
LOCK_SECONDS = 2
#: An empty partition can wait: so long, in seconds, do writers stand behind the attempt to drop it.
DROP_SECONDS = 0.1
LOCK_NOT_AVAILABLE = "55P03"
#: The open partition is closed before the month is over when it has grown to so many bytes ...
LARGEST_BYTES = 32 * 2**30
#: ... unless so many closed ones are looked into for every event: each costs about 1.5 µs.
MOST_LOOKED_INTO = 4


@dataclass(frozen=True, slots=True)
class Partition:
    """What an operator may want to know of a partition."""

    part: int
    opened_at: datetime | None
    closed_at: datetime | None
    deduplicates: bool
    events: int
    bytes: int


def list_all(session: Session) -> list[Partition]:
    """Return the partitions, oldest first; `events` is PostgreSQL's own estimate."""
    rows = session.execute(
        sa.text(
            "SELECT p.part, p.opened_at, p.closed_at, p.deduplicates,"
            " CAST(greatest(c.reltuples, 0) AS bigint) AS events,"
            " pg_total_relation_size(c.oid) AS bytes"
            " FROM app.event_partition p JOIN pg_class c"
            " ON c.oid = to_regclass('app.event_p' || p.part) ORDER BY p.part"
        )
    )
    return [Partition(**row._mapping) for row in rows]


def prepare(session: Session) -> int:
    """Return the partition that will be opened next, made and attached where there is none.

    Writers and readers go on meanwhile: attaching an empty table takes no lock that they need.
    """
    newest = session.scalars(
        sa.select(EventPartition).order_by(EventPartition.part.desc()).limit(1)
    ).one()
    if newest.opened_at is None:
        return newest.part
    part = newest.part + 1
    for command in (
        f"CREATE TABLE app.event_p{part} (LIKE app.event INCLUDING DEFAULTS INCLUDING STORAGE)",
        f"CREATE UNIQUE INDEX event_p{part}_key ON app.event_p{part} (source_id, message_id)",
        f"CREATE INDEX event_p{part}_stream ON app.event_p{part} (transaction, id)",
        f"CREATE INDEX event_p{part}_timeline ON app.event_p{part} (identifier_id, occurred_at)",
        f"ALTER TABLE app.event ATTACH PARTITION app.event_p{part} FOR VALUES IN ({part})",
    ):
        session.execute(sa.text(command))
    session.add(EventPartition(part=part))
    session.flush()
    return part


def roll_over(session: Session, part: int) -> bool:
    """Close this partition and open the one prepared after it; say whether it was still open.

    In a transaction of its own, as the last thing in it: until its commit every writer waits.
    """
    session.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    session.execute(sa.text("LOCK TABLE ONLY app.event IN SHARE ROW EXCLUSIVE MODE"))
    closed = session.scalar(
        sa.text(
            "UPDATE app.event_partition SET closed_at = clock_timestamp(),"
            " closed_by = pg_current_xact_id()"
            " WHERE part = :part AND opened_at IS NOT NULL AND closed_at IS NULL RETURNING part"
        ),
        {"part": part},
    )
    if closed is None:
        return False
    session.execute(
        sa.text(
            "UPDATE app.event_partition SET opened_at = clock_timestamp()"
            " WHERE part = (SELECT min(part) FROM app.event_partition WHERE opened_at IS NULL)"
        )
    )
    return True


def is_due(open_: Partition, now: datetime, looked_into: int) -> bool:
    """Say whether the open partition is to be closed: a new month began, or it is very large."""
    if open_.opened_at is None or not open_.events:
        return False
    began, today = open_.opened_at.astimezone(UTC), now.astimezone(UTC)
    if (began.year, began.month) != (today.year, today.month):
        return True
    return open_.bytes > LARGEST_BYTES and looked_into < MOST_LOOKED_INTO


def maintain(sessions: Sessions, window: timedelta, *, now: datetime | None = None) -> None:
    """Do what is due: prepare, roll over, forget message ids past the window, swap indexes.

    One process at a time; each step is a transaction of its own and may be repeated.
    """
    now = now or datetime.now(UTC)
    with exclusively(sessions, "partitions") as mine:
        if not mine:
            return
        with sessions.begin() as session:
            prepare(session)
        with sessions.begin() as session:
            _expire(session, now - window)
            parts = list_all(session)
        closed = [p for p in parts if p.closed_at is not None]
        open_ = next(p for p in parts if p.opened_at is not None and p.closed_at is None)
        if is_due(open_, now, sum(p.deduplicates for p in closed)):
            _close(sessions)
        for part in closed:
            _swap_indexes(sessions, part)
        _analyse(sessions)


def close_open(sessions: Sessions) -> int:
    """Close the open partition now and return the one that is open after it.

    Raises PartitionBusy when the writers do not let go of it in time, or somebody else is at it.
    """
    with exclusively(sessions, "partitions") as mine:
        if not mine:
            raise PartitionBusy("another process maintains the partitions at this moment")
        return _close(sessions)


def _close(sessions: Sessions) -> int:
    with sessions.begin() as session:
        following = prepare(session)
    with _impatient(), sessions.begin() as session:
        roll_over(session, following - 1)
    return following


def drop_empty(sessions: Sessions) -> int:
    """Drop closed partitions that hold nothing more and return how many.

    Only when their message ids count no more, and no reader is before them. One that somebody
    reads is left for the next time: writers wait behind the lock that dropping it needs.
    """
    with sessions() as session:
        closed = list(session.scalars(statement("app.events", "empty_partitions")))
    dropped = 0
    for part in closed:
        with suppress(PartitionBusy), _impatient(), sessions.begin() as session:
            session.execute(sa.text(f"SET LOCAL lock_timeout = '{DROP_SECONDS}s'"))
            held = f"SELECT EXISTS (SELECT FROM app.event_p{part})"  # noqa: S608  # our own number
            if not session.scalar(sa.text(held)):
                session.execute(sa.text(f"DROP TABLE app.event_p{part}"))
                session.execute(sa.delete(EventPartition).where(EventPartition.part == part))
                dropped += 1
    return dropped


@contextmanager
def _impatient() -> Iterator[None]:
    """Raise PartitionBusy when a lock was not to be had within LOCK_SECONDS."""
    try:
        yield
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise PartitionBusy(f"not within {LOCK_SECONDS} s") from error
        raise


def _expire(session: Session, before: datetime) -> None:
    """Look no more into partitions that were closed before the window began."""
    session.execute(
        sa.update(EventPartition)
        .where(EventPartition.deduplicates, EventPartition.closed_at < before)
        .values(deduplicates=False)
    )


def _swap_indexes(sessions: Sessions, partition: Partition) -> None:
    """Give a closed partition the index that it needs now, without stopping anybody.

    While message ids count, a hash index of half the size replaces the unique one: nothing is
    written any more, and looking into it costs half the time. Afterwards neither is needed.
    CONCURRENTLY, because the pipeline reads no further than the oldest transaction that writes,
    and an index of a large partition takes minutes.
    """
    table, hashed = f"app.event_p{partition.part}", f"event_p{partition.part}_message"
    with sessions() as session:
        indexes = _indexes(session, table)
    commands = []
    if partition.deduplicates:
        if indexes.get(hashed) is False:  # left behind by a build that was interrupted
            commands.append(f"DROP INDEX CONCURRENTLY app.{hashed}")
        if not indexes.get(hashed):
            commands.append(
                f"CREATE INDEX CONCURRENTLY {hashed} ON {table} USING hash (message_id)"
            )
    elif hashed in indexes:
        commands.append(f"DROP INDEX CONCURRENTLY app.{hashed}")
    if f"event_p{partition.part}_key" in indexes:
        commands.append(f"DROP INDEX CONCURRENTLY app.event_p{partition.part}_key")
    outside_transaction(sessions, commands)


def _analyse(sessions: Sessions) -> None:
    """Give the planner figures of the table as a whole: autovacuum makes those of partitions only.

    When the table has doubled since, and once a day.
    """
    with sessions() as session:
        stale = session.scalar(
            sa.text(
                "SELECT coalesce(s.last_analyze < now() - interval '1 day', true)"
                " OR greatest(p.reltuples, 0) * 2 < (SELECT sum(greatest(c.reltuples, 0))"
                " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = p.oid)"
                " FROM pg_class p LEFT JOIN pg_stat_all_tables s ON s.relid = p.oid"
                " WHERE p.oid = CAST('app.event' AS regclass)"
            )
        )
    if stale:
        outside_transaction(sessions, ["ANALYZE app.event"])


def _indexes(session: Session, table: str) -> dict[str, bool]:
    """Return the indexes of a table by name, and whether each can be used."""
    rows = session.execute(
        sa.text(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indrelid = to_regclass(:table)"
        ),
        {"table": table},
    )
    return {row.relname: row.indisvalid for row in rows}
