"""Copies events into the lake: immutable Parquet files, listed in PostgreSQL."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import msgspec
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions, advisory_lock, statement
from app.errors import LakeIncomplete
from app.events import stream
from app.lake import checks, parquet
from app.lake.tables import LakePart, LakeRemoval

log = logging.getLogger("parcours.lake")

#: Events in one file of one copy; a backlog becomes several files.
BATCH = 50_000
#: Bytes of what was sent with them: events may be fifty times larger than most are. The worker
#: needs some five times as much while it writes a file.
BATCH_BYTES = 32 * 2**20
#: Of more files than this the smaller ones are put together, since each costs a file to open per
#: query.
MOST_PARTS = 24
#: So long may a reader go on with files that were put together meanwhile, in seconds.
GRACE_SECONDS = 3_600
#: Deleted events that are taken out of the files in one transaction. Each transaction may write
#: the whole lake anew: 600,000 of 1.2 million events took 14 s in two, 30 s in twelve, and 370 MB
#: of memory either way.
REMOVALS = 500_000

#: A disk seldom loses a file that was written so lately; another directory lacks it.
YOUNG = timedelta(minutes=10)

SCHEMA = pa.schema(
    [
        ("event_id", pa.int64()),
        ("identifier_id", pa.int64()),
        ("type", pa.string()),
        ("name", pa.string()),
        ("source", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("source_seq", pa.int64()),
        ("refused", pa.list_(pa.string())),
        ("properties", pa.string()),
        ("context", pa.string()),
    ]
)


def keep_up(sessions: Sessions, directory: Path) -> None:
    """Copy what is new and put files together; begin anew where some are lost or damaged."""
    checks.look(sessions, directory)
    begin_anew_if_incomplete(sessions, directory)
    copy_new(sessions, directory)
    compact(sessions, directory)


def copy_new(sessions: Sessions, directory: Path) -> int:
    """Copy the events that the lake has not seen yet and return how many.

    Those that come meanwhile wait for the next time: where they come without a pause, each look
    would find some, and never end.
    """
    copied, more = 0, True
    while more:
        events, more = _copy_next(sessions, directory)
        copied += events
    return copied


def _copy_next(sessions: Sessions, directory: Path) -> tuple[int, bool]:
    """Copy one file's worth of new events; return how many, and whether there may be more.

    One process at a time. A file is complete before it is listed, and listed in the transaction
    that moves the mark: a crash leaves at most a file that nobody reads, and never a hole or a
    double.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)  # everybody's events: for this account alone
    with sessions.begin() as session, advisory_lock(session, "lake") as mine:
        if not mine:
            return 0, False
        events = stream.next_batch(session, "lake", BATCH, largest=BATCH_BYTES)
        size = sum(len(event.properties) + len(event.context) for event in events)
        more = len(events) == BATCH or size > BATCH_BYTES
        if not more:
            session.execute(
                sa.text("UPDATE app.progress SET anew = false WHERE reader = 'lake' AND anew")
            )
        if not events:
            return 0, False
        with _new_files(directory) as new:
            path = new()
            parquet.write(path, _table(session, events))
            session.add(_part(path, len(events)))
            stream.done(session, "lake", events[-1])
            session.flush()
        return len(events), more


def compact(sessions: Sessions, directory: Path) -> bool:
    """Put the smaller files together into one when there are many; return whether it was done.

    Readers open the files of the listing they began with again for each query, so the old files
    stay for a while; what no listing names, a crash's left-overs included, goes in time.
    """
    with sessions.begin() as session, advisory_lock(session, "lake") as mine:
        parts = session.scalars(sa.select(LakePart).order_by(LakePart.id)).all() if mine else []
        if mine:
            _sweep(directory, {part.file for part in parts})
        parts = _together(parts)
        if not parts:
            return False
        # What is damaged would be so for ever, and nobody could tell.
        if not all([checks.sound(directory / part.file, part.checksum) for part in parts]):
            return False
        with _new_files(directory) as new:
            path = new()
            parquet.merge([directory / part.file for part in parts], path)
            session.add(_part(path, sum(part.events for part in parts)))
            for part in parts:
                session.delete(part)
            session.flush()
    for part in parts:
        checks.left(directory / part.file)
    return True


def _together(parts: Sequence[LakePart]) -> list[LakePart]:
    """Return which files are to be put together: the smaller half of too many, and the next larger
    one as long as it holds no more than those before it together.

    So an event is written anew each time its file grows by as much again, and not, with the whole
    lake, every two minutes in which events come.
    """
    if len(parts) <= MOST_PARTS:
        return []
    smallest = sorted(parts, key=lambda part: (part.events, part.id))
    first = max(2, MOST_PARTS // 2 + 1)
    chosen, events = smallest[:first], sum(part.events for part in smallest[:first])
    for part in smallest[first:]:
        if part.events > events:
            break
        chosen.append(part)
        events += part.events
    return chosen


def rewrite_removed(sessions: Sessions, directory: Path) -> int | None:
    """Write the files anew that hold deleted or changed events; return how many were written.

    None where another process has the files in hand: ask again. The listing changes in the
    transaction that forgets the removals: at every moment a reader sees each event that there is,
    and none that was deleted. So many removals in a transaction that a large clean-up needs no more
    memory than a small one.
    """
    written, more = 0, True
    while more:
        replaced: list[Path] = []
        with sessions.begin() as session, advisory_lock(session, "lake") as mine:
            if not mine:
                return None
            gone = removed(session, limit=REMOVALS)
            if not gone:
                return written
            again = _changed(session, gone)
            with _new_files(directory) as new:
                for part in session.scalars(sa.select(LakePart).order_by(LakePart.id)).all():
                    path, target = directory / part.file, new()
                    checks.ensure({path: part.checksum})
                    kept = _without(path, gone, again, target)
                    if kept is None:
                        continue
                    if not checks.sound(path, part.checksum):  # it was read to be written anew
                        raise LakeIncomplete("a file is damaged; it is made anew in a moment")
                    replaced.append(path)
                    session.delete(part)
                    if kept:
                        session.add(_part(target, kept))
                # As one array: the protocol counts parameters in 16 bits.
                session.execute(
                    sa.text(
                        "DELETE FROM app.lake_removal WHERE event_id = ANY(CAST(:ids AS bigint[]))"
                    ),
                    {"ids": "{" + ",".join(map(str, gone)) + "}"},
                )
        for path in replaced:
            checks.left(path)
        written, more = written + len(replaced), len(gone) == REMOVALS
    return written


def begin_anew_if_incomplete(sessions: Sessions, directory: Path) -> bool:
    """Have all events copied again where a listed file is not there whole; say whether that is so.

    The files belong to another time than a database that was restored without them, or somebody
    deleted them, or a disk lost their ends, or one was damaged and is removed (`checks`).
    """
    with sessions.begin() as session, advisory_lock(session, "lake") as mine:
        if not mine:
            return False
        listed = session.scalars(sa.select(LakePart).order_by(LakePart.id)).all()
        lost = [one for one in listed if checks.held(directory / one.file) != one.events]
        if not lost:
            return False
        lately = sa.func.now() - YOUNG
        young = session.scalars(sa.select(LakePart.id).where(LakePart.copied_at > lately)).all()
        turns = not {one.id for one in lost}.isdisjoint(young)
        session.execute(sa.delete(LakePart))
        session.execute(sa.delete(LakeRemoval))
        session.execute(
            sa.text(
                "UPDATE app.progress SET transaction = '0', event_id = 0, anew = true"
                " WHERE reader = 'lake'"
            )
        )
    # Two that do so make it anew in turns, without an end.
    hint = (
        "; some are minutes old: servers of one database need one directory, PARCOURS_DATA_DIR"
        if turns
        else ""
    )
    log.error(
        "%d of %d files of the lake are lost; it is made anew%s", len(lost), len(listed), hint
    )
    for one in listed:
        checks.left(directory / one.file)
    return True


def _part(path: Path, events: int) -> LakePart:
    return LakePart(file=path.name, events=events, checksum=checks.checksum(path))


def removed(session: Session, *, limit: int | None = None) -> list[int]:
    """Return the ids of events that were deleted and may still be in a file, oldest first."""
    ids = sa.select(LakeRemoval.event_id).order_by(LakeRemoval.event_id)
    return list(session.scalars(ids.limit(limit)))


@contextmanager
def _new_files(directory: Path) -> Iterator[Callable[[], Path]]:
    """Yield a maker of names of files, which go when the block fails before its commit.

    A commit that fails leaves them to `_sweep`, an hour later: it may have taken place although
    the answer was lost.
    """
    made: list[Path] = []

    def new() -> Path:
        made.append(directory / f"events-{uuid4().hex}.parquet")
        return made[-1]

    try:
        yield new
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
            path.with_suffix(".writing").unlink(missing_ok=True)
        raise


def _changed(session: Session, gone: Sequence[int]) -> pa.Table:
    """Return those of the removed events that are to be put in again, as they are now."""
    ids = "{" + ",".join(map(str, gone)) + "}"
    return _table(session, session.execute(statement("app.lake", "changed"), {"ids": ids}).all())


def _without(source: Path, gone: Sequence[int], again: pa.Table, target: Path) -> int | None:
    """Write a file without these events, and with those of them that are put in again.

    Return how many it holds then, None where it held none of them.
    """
    scratch = target.with_suffix(".writing")
    with duckdb.connect(config=parquet.ENGINE) as connection:
        connection.register("gone", pa.table({"event_id": pa.array(gone, pa.int64())}))
        connection.register("again", again)
        held, changed, events = connection.execute(
            "SELECT count(*) FILTER (event_id IN (SELECT event_id FROM gone)),"
            " count(*) FILTER (event_id IN (SELECT event_id FROM again)), count(*)"
            " FROM read_parquet($file)",
            {"file": str(source)},
        ).fetchone() or (0, 0, 0)
        if not held:
            return None
        kept = int(events - held + changed)
        if kept:
            connection.execute(
                "COPY (SELECT * FROM read_parquet($file) ANTI JOIN gone USING (event_id)"  # noqa: S608  # our own name
                " UNION ALL BY NAME SELECT * FROM again SEMI JOIN"
                " (SELECT event_id FROM read_parquet($file)) USING (event_id))"
                f" TO '{scratch}' {parquet.FORMAT}",
                {"file": str(source)},
            )
            parquet.name(scratch, target)
        return kept


def forget_replaced(
    sessions: Sessions, directory: Path, *, before: float, until: float = math.inf
) -> int | None:
    """Delete the files that left the listing before a time, and return how many still wait.

    For an erasure, which may not leave them to `compact`'s grace. Times are in seconds since 1970;
    None when somebody else is at the lake. What left after `until` is not waited for: where files
    leave all the time there always is one.
    """
    with sessions.begin() as session, advisory_lock(session, "lake") as mine:
        if not mine:
            return None
        listed = {part.name for part in parts(session, directory)}
        waiting = 0
        for path in directory.glob("events-*"):
            if path.name in listed:
                continue
            left = path.stat().st_mtime
            if left <= before:
                path.unlink(missing_ok=True)
            else:
                waiting += left <= until
        return waiting


def _sweep(directory: Path, listed: Collection[str]) -> None:
    for path in directory.glob("events-*"):
        if path.name not in listed and time.time() - path.stat().st_mtime > GRACE_SECONDS:
            path.unlink(missing_ok=True)


def parts(session: Session, directory: Path) -> list[Path]:
    """Return the files that make up the lake."""
    names = session.scalars(sa.select(LakePart.file).order_by(LakePart.id))
    return [directory / name for name in names]


def listing(session: Session, directory: Path) -> tuple[list[int], dict[Path, str | None]]:
    """Return the events that were deleted and may still be in a file, and the files' checksums.

    In this order: files that were written anew in between lack those events, which does no harm.
    Raises LakeIncomplete until what was lost is all there again: figures of a part would be wrong.
    """
    gone = removed(session)
    anew, files = session.execute(
        sa.text(
            "SELECT p.anew, ARRAY(SELECT ARRAY[file, checksum] FROM app.lake_part ORDER BY id)"
            " FROM app.progress p WHERE p.reader = 'lake'"
        )
    ).one()
    if anew:
        raise LakeIncomplete("all events are being copied again; ask again in a moment")
    return gone, {directory / name: checksum for name, checksum in files}


def _table(session: Session, events: Sequence[sa.Row[Any]]) -> pa.Table:
    names = {
        row.id: row.name for row in session.execute(sa.text("SELECT id, name FROM app.source"))
    }
    columns: dict[str, list[Any]] = {
        "event_id": [e.id for e in events],
        "source": [names.get(e.source_id) for e in events],
    }
    for name in SCHEMA.names:
        if name not in columns:
            columns[name] = [getattr(e, name) for e in events]
    for name in ("properties", "context"):
        columns[name] = [_once(text) for text in columns[name]]
    return pa.table({n: columns[n] for n in SCHEMA.names}, schema=SCHEMA)


def _once(text: str) -> str:
    """Return a JSON text with each key once, the last: of two DuckDB reads the first.

    PostgreSQL and Python read the last, and journeys must say what profiles say. PostgreSQL keeps
    what cannot be decoded here, such as a number beyond all floats or a thousand lists within each
    other; such a text stays as it is, for one event must not stop the copy of all later ones.
    """
    try:
        return msgspec.json.encode(msgspec.json.decode(text)).decode()
    except (msgspec.MsgspecError, RecursionError):
        return text
