"""Lost and damaged files of the lake: who asks is told, all is copied anew, nothing stays stuck."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions, advisory_lock
from app.errors import LakeIncomplete
from app.lake import checks, copy
from app.settings import Settings

PURPOSE = "service.operation"


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _damage(path: Path) -> None:
    """The end says where all begins; here it says something that cannot be read."""
    text = path.read_bytes()
    path.write_bytes(text[:-40] + b"\xff" * 32 + text[-8:])


def _flip(path: Path, place: float = 0.1) -> None:
    """One bit of what it holds is another, and all that the system says of it is as it was."""
    text, said = bytearray(path.read_bytes()), path.stat()
    text[int(len(text) * place)] ^= 1
    path.write_bytes(text)
    os.utime(path, ns=(said.st_atime_ns, said.st_mtime_ns))


def _flip_and_touch(path: Path) -> None:
    _flip(path)
    os.utime(path)


WAYS: tuple[Callable[[Path], object], ...] = (
    lambda path: shutil.rmtree(path.parent),
    Path.unlink,
    _cut,
    lambda path: path.write_bytes(b""),
    _damage,
    _flip_and_touch,
)


def test_lost_files_are_copied_anew_and_who_asks_meanwhile_is_told(
    server: TestClient,
    sessions: Sessions,
    settings: Settings,
    write_key: str,
    token: Callable[..., dict[str, str]],
) -> None:
    header = token("journeys:read", "profiles:read", purposes=(PURPOSE,))

    def send(user: str) -> None:
        event = {"event": "Order", "userId": user, "writeKey": write_key}
        server.post("/v1/track", json=event).raise_for_status()

    def ask() -> tuple[int, object]:
        asked = {"steps": [{"event": "Order"}], "purpose": PURPOSE}
        answer = server.post("/v1/analyses/funnel", json=asked, headers=header)
        return answer.status_code, answer.json().get("n_profiles", answer.json().get("code"))

    for number, lose in enumerate(WAYS):
        send(f"kept-{number}")
        assert ask() == (200, 2 * number + 1)
        with sessions() as session:
            lose(copy.parts(session, settings.lake_dir)[0])
        send(f"new-{number}")
        assert ask() == (503, "lake-incomplete")
        with sessions.begin() as session:  # as an erasure leaves it
            session.execute(sa.text("INSERT INTO app.lake_removal (event_id) VALUES (0)"))
        assert copy.begin_anew_if_incomplete(sessions, settings.lake_dir)
        with sessions.begin() as session, advisory_lock(session, "lake"):
            assert ask() == (503, "lake-incomplete")  # another process copies them
        copy.keep_up(sessions, settings.lake_dir)
        assert ask() == (200, 2 * number + 2)
        assert copy.rewrite_removed(sessions, settings.lake_dir) == 0
    assert not copy.begin_anew_if_incomplete(sessions, settings.lake_dir)


def test_what_is_listed_is_on_the_disk_with_its_name(
    server: TestClient,
    sessions: Sessions,
    settings: Settings,
    write_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A loss of power takes what was not synced; the list in PostgreSQL stays."""
    lake, synced, really = settings.lake_dir, set(), os.fsync

    def fsync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        really(handle)

    def check() -> None:
        with sessions() as session:
            files = copy.parts(session, lake)
        assert files
        assert {path.stat().st_ino for path in (lake, *files)} <= synced
        synced.clear()

    monkeypatch.setattr(os, "fsync", fsync)
    for number in range(2):
        for user in ("one", "two"):
            event = {"event": f"Order {number}", "userId": user, "writeKey": write_key}
            server.post("/v1/track", json=event).raise_for_status()
        copy.copy_new(sessions, lake)
    check()
    monkeypatch.setattr(copy, "MOST_PARTS", 1)
    assert copy.compact(sessions, lake)
    check()
    with sessions.begin() as session:
        session.execute(
            sa.text("INSERT INTO app.lake_removal (event_id) SELECT min(id) FROM app.event")
        )
    assert copy.rewrite_removed(sessions, lake) == 1
    check()


def test_damage_that_shows_nowhere_is_found_by_reading(
    server: TestClient,
    sessions: Sessions,
    settings: Settings,
    write_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the worker, when the hour is over; and whatever is put together or written anew is looked
    at before, or what is damaged would be so with a checksum of its own.
    """
    lake = settings.lake_dir
    monkeypatch.setattr(copy, "MOST_PARTS", 1)

    def files() -> list[Path]:
        for user in ("one", "two"):
            event = {"event": "Order", "userId": user, "writeKey": write_key}
            server.post("/v1/track", json=event).raise_for_status()
            copy.copy_new(sessions, lake)
        with sessions() as session:
            return copy.parts(session, lake)

    for place in (0.01, 0.1, 0.3, 0.6, 0.9):
        _flip(files()[-1], place)
        assert not copy.compact(sessions, lake)
        copy.keep_up(sessions, lake)
    _flip(files()[-1])
    with sessions.begin() as session:
        session.execute(
            sa.text("INSERT INTO app.lake_removal (event_id) SELECT max(id) FROM app.event")
        )
    with pytest.raises(LakeIncomplete):
        copy.rewrite_removed(sessions, lake)
    copy.keep_up(sessions, lake)
    [_, damaged] = files()[-2:]
    monkeypatch.setattr(copy, "MOST_PARTS", 24)
    copy.keep_up(sessions, lake)
    _flip(damaged)
    copy.keep_up(sessions, lake)
    assert damaged.exists()  # it was read within the hour
    monkeypatch.setattr(checks, "EVERY_SECONDS", 0.0)
    copy.keep_up(sessions, lake)
    assert not damaged.exists()
    with sessions() as session:
        events = session.scalar(sa.text("SELECT sum(events) FROM app.lake_part"))
        assert events == session.scalar(sa.text("SELECT count(*) FROM app.event"))


def test_files_that_are_older_than_checksums_get_one(
    server: TestClient, sessions: Sessions, settings: Settings, write_key: str
) -> None:
    event = {"event": "Order", "userId": "u", "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    copy.copy_new(sessions, settings.lake_dir)
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.lake_part SET checksum = NULL"))
    copy.keep_up(sessions, settings.lake_dir)
    with sessions() as session:
        [path] = copy.parts(session, settings.lake_dir)
        noted = session.scalar(sa.text("SELECT checksum FROM app.lake_part"))
    assert noted == checks.checksum(path)


def test_of_those_what_cannot_be_read_is_made_anew(
    server: TestClient, sessions: Sessions, settings: Settings, write_key: str
) -> None:
    """It would have got a checksum of what it is now, and failed every question for good."""
    event = {"event": "Order", "userId": "u", "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    copy.copy_new(sessions, settings.lake_dir)
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.lake_part SET checksum = NULL"))
        [path] = copy.parts(session, settings.lake_dir)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(len(whole) // 3) + whole[4 + len(whole) // 3 :])
    copy.keep_up(sessions, settings.lake_dir)
    assert not path.exists()
    copy.keep_up(sessions, settings.lake_dir)
    with sessions() as session:
        [path] = copy.parts(session, settings.lake_dir)
    assert pq.read_table(path).num_rows == 1


def test_servers_that_keep_it_in_two_directories_are_told_why_it_is_made_anew_in_turns(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    event = {"event": "Order", "userId": "u", "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    copy.keep_up(sessions, tmp_path / "one")
    copy.keep_up(sessions, tmp_path / "two")
    assert "servers of one database need one directory, PARCOURS_DATA_DIR" in caplog.text
    caplog.clear()
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.lake_part SET copied_at = now() - interval '1 day'"))
    shutil.rmtree(tmp_path / "two")
    copy.keep_up(sessions, tmp_path / "two")
    assert "1 of 1 files of the lake are lost" in caplog.text
    assert "PARCOURS_DATA_DIR" not in caplog.text
