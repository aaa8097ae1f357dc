"""The lake: readable by nobody else, and not pulled away under a reader."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions
from app.events import stream
from app.lake import copy
from app.lake.duckdb_engine import open_lake
from app.lake.tables import LakePart

LONG_AGO = 2 * copy.GRACE_SECONDS


def _fill(server: TestClient, sessions: Sessions, key: str, lake: Path) -> None:
    for number in range(3):
        event = {"event": "Order", "userId": f"u-{number}", "writeKey": key}
        server.post("/v1/track", json=event).raise_for_status()
        copy.copy_new(sessions, lake)


def test_a_reader_goes_on_while_the_files_are_put_together(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = tmp_path / "lake"
    _fill(server, sessions, write_key, lake)
    monkeypatch.setattr(copy, "MOST_PARTS", 2)
    count = "SELECT count(*) FROM event"
    with sessions() as session, open_lake(session, lake, "service.operation") as before:
        assert copy.compact(sessions, lake)
        assert before.connection.execute(count).fetchone() == (3,)
    old = [path for path in lake.iterdir() if path not in _parts(sessions, lake)]
    for path in lake.iterdir():
        os.utime(path, (time.time() - LONG_AGO,) * 2)
    assert not copy.compact(sessions, lake)
    assert len(old) == 3
    assert list(lake.iterdir()) == _parts(sessions, lake)
    with sessions() as session, open_lake(session, lake, "service.operation") as after:
        assert after.events == 3


def test_a_large_file_is_left_alone_while_small_ones_are_put_together(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lake = tmp_path / "lake"
    monkeypatch.setattr(copy, "MOST_PARTS", 4)
    batch = [{"type": "track", "event": "Order", "userId": f"u-{n}"} for n in range(8)]
    server.post("/v1/batch", json={"batch": batch, "writeKey": write_key}).raise_for_status()
    copy.copy_new(sessions, lake)
    [large] = _parts(sessions, lake)
    for _ in range(2):
        _fill(server, sessions, write_key, lake)
    assert copy.compact(sessions, lake)
    assert len(_parts(sessions, lake)) == 2
    assert large in _parts(sessions, lake)
    with sessions() as session, open_lake(session, lake, "service.operation") as opened:
        assert opened.events == 14


def test_an_event_is_written_anew_a_few_times_however_many_come() -> None:
    """A day of copies every five seconds: 3.75 times; with all put together it was 360 times."""
    parts, written, most, copies = list[LakePart](), 0, 0, 17_280
    for number in range(copies):
        parts.append(LakePart(id=number, events=250))
        most = max(most, len(parts))
        chosen = copy._together(parts)
        if chosen:
            events = sum(part.events for part in chosen)
            parts = [part for part in parts if part not in chosen]
            parts.append(LakePart(id=copies + number, events=events))
            written += events
    assert most == copy.MOST_PARTS + 1
    assert sum(part.events for part in parts) == copies * 250
    assert written < 4 * copies * 250


def test_nobody_else_on_the_machine_may_read_the_lake(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir(mode=0o755)
    _fill(server, sessions, write_key, lake)
    assert lake.stat().st_mode & 0o077 == 0


def test_a_key_that_is_there_twice_means_the_same_to_every_reader(
    server: TestClient, sessions: Sessions, write_key: str, tmp_path: Path
) -> None:
    """PostgreSQL takes the last of two members of one name, DuckDB the first."""
    body = (
        b'{"event": "Order", "userId": "u", "writeKey": "%b", "properties": '
        b'{"total": 1, "in": {"a": 1, "a": 2}, "total": 123456789012345678901}}'
    )
    server.post("/v1/track", content=body % write_key.encode()).raise_for_status()
    copy.copy_new(sessions, tmp_path / "lake")
    with sessions() as session, open_lake(session, tmp_path / "lake", "service.operation") as lake:
        query = "SELECT properties ->> 'total', properties -> 'in' ->> 'a' FROM "
        seen = lake.connection.execute(query + "event").fetchone()
        stored = session.execute(sa.text(query + "app.event")).one()
    assert seen == tuple(stored) == ("123456789012345678901", "2")


def _store(
    sessions: Sessions, events: int, *, characters: int = 0, properties: str | None = None
) -> None:
    """Write many events past the door, where they would take minutes."""
    text = properties or '{"text": "' + "x" * characters + '"}'
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.event (source_id, message_id, type, name, identifier_id,"
                " identifier_ids, occurred_at, received_at, refused, properties, context, part)"
                " SELECT 1, gen_random_uuid(), 'track', 'E', 1, ARRAY[1], now(), now(), '{}',"
                " CAST(:text AS json), '{}', 1 FROM generate_series(1, :events) n"
            ),
            {"events": events, "text": text},
        )


def _ids(sessions: Sessions, lake: Path) -> list[int]:
    files = [str(path) for path in _parts(sessions, lake)]
    query = "SELECT event_id FROM read_parquet($files) ORDER BY event_id"
    return [row[0] for row in duckdb.execute(query, {"files": files}).fetchall()]


def _stored(sessions: Sessions) -> list[int]:
    with sessions() as session:
        return list(session.scalars(sa.text("SELECT id FROM app.event ORDER BY id")))


def _remove(sessions: Sessions, where: str = "true") -> None:
    with sessions.begin() as session:
        session.execute(
            sa.text(f"INSERT INTO app.lake_removal SELECT id FROM app.event WHERE {where}")  # noqa: S608 -- a test's own words
        )
        session.execute(
            sa.text("DELETE FROM app.event WHERE id IN (SELECT event_id FROM app.lake_removal)")
        )


def test_more_events_than_a_statement_has_parameters_are_removed_at_once(
    sessions: Sessions, tmp_path: Path
) -> None:
    _store(sessions, 70_000)
    copy.copy_new(sessions, tmp_path)
    _remove(sessions, "id % 1000 > 0")
    assert copy.rewrite_removed(sessions, tmp_path) == 2
    assert _ids(sessions, tmp_path) == _stored(sessions)
    assert len(_stored(sessions)) == 70
    with sessions() as session:
        assert copy.removed(session) == []


def test_removals_in_small_portions_leave_what_was_not_removed(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "REMOVALS", 7)
    monkeypatch.setattr(copy, "BATCH", 20)
    _store(sessions, 60)
    copy.copy_new(sessions, tmp_path)
    _remove(sessions, "id % 3 > 0 AND id < 50")
    assert (copy.rewrite_removed(sessions, tmp_path) or 0) >= 3
    assert _ids(sessions, tmp_path) == _stored(sessions)
    assert copy.rewrite_removed(sessions, tmp_path) == 0


def test_a_rewriting_that_fails_leaves_no_file_behind(sessions: Sessions, tmp_path: Path) -> None:
    _store(sessions, 100)
    copy.copy_new(sessions, tmp_path)
    _remove(sessions, "id % 2 = 0")
    before = sorted(tmp_path.iterdir())
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'no' USING ERRCODE = '53100'; END $$"
            )
        )
        session.execute(
            sa.text(
                "CREATE TRIGGER refuse BEFORE DELETE OR INSERT ON app.lake_part"
                " EXECUTE FUNCTION app.refuse()"
            )
        )
    for attempt in (copy.rewrite_removed, copy.copy_new):
        _store(sessions, 1)
        with pytest.raises(sa.exc.OperationalError):
            attempt(sessions, tmp_path)
        assert sorted(tmp_path.iterdir()) == before


def test_large_events_are_copied_few_at_a_time_each_once_and_memory_stays_small(
    sessions: Sessions, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    _store(sessions, 5_600, characters=30_000)
    with sessions() as session:
        batch = stream.next_batch(session, "lake", copy.BATCH, largest=copy.BATCH_BYTES)
        assert sum(len(event.properties) for event in batch) < copy.BATCH_BYTES + 40_000
    del batch
    watched = _peak_megabytes(lambda: copy.copy_new(sessions, tmp_path))
    record_property("megabytes for 5,600 events of 30 KB", watched)
    assert watched < 300
    assert len(_parts(sessions, tmp_path)) == 6
    assert _ids(sessions, tmp_path) == _stored(sessions)


def test_an_event_that_is_larger_than_a_batch_may_be_is_copied_alone(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "BATCH_BYTES", 100)
    _store(sessions, 3, characters=1_000)
    assert copy.copy_new(sessions, tmp_path) == 3
    assert len(_parts(sessions, tmp_path)) == 3
    assert _ids(sessions, tmp_path) == _stored(sessions)


@pytest.mark.parametrize(
    "text",
    ['{"a":1e400}', '{"a":%s}' % ("9" * 5_000), '{"a":%s}' % ("[" * 2_000 + "]" * 2_000)],
    ids=["a number beyond all floats", "a very long number", "very many lists within each other"],
)
def test_what_we_cannot_decode_is_copied_as_it_is(
    sessions: Sessions, tmp_path: Path, text: str
) -> None:
    _store(sessions, 1, properties=text)
    assert copy.copy_new(sessions, tmp_path) == 1
    files = [str(path) for path in _parts(sessions, tmp_path)]
    read = duckdb.execute("SELECT properties FROM read_parquet($files)", {"files": files})
    assert read.fetchall() == [(text,)]


def _peak_megabytes(work: Callable[[], object]) -> int:
    """How much more memory than before this process had meanwhile, at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = _memory("VmRSS")
    work()
    return (_memory("VmHWM") - before) // 1024


def _memory(what: str) -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(what)).split()[1])


def _parts(sessions: Sessions, lake: Path) -> list[Path]:
    with sessions() as session:
        return copy.parts(session, lake)
