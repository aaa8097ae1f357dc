"""The lake: readable by nobody else, and not pulled away under a reader."""

import os
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions
from app.lake import copy
from app.lake.duckdb_engine import open_lake

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


def _parts(sessions: Sessions, lake: Path) -> list[Path]:
    with sessions() as session:
        return copy.parts(session, lake)
