"""Lost files of the lake: who asks is told, all is copied anew, and nothing stays stuck."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions, advisory_lock
from app.lake import copy
from app.settings import Settings

PURPOSE = "service.operation"


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _damage(path: Path) -> None:
    """The end says where all begins; here it says something that cannot be read."""
    text = path.read_bytes()
    path.write_bytes(text[:-40] + b"\xff" * 32 + text[-8:])


WAYS: tuple[Callable[[Path], object], ...] = (
    lambda path: shutil.rmtree(path.parent),
    Path.unlink,
    _cut,
    lambda path: path.write_bytes(b""),
    _damage,
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
