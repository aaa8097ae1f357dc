"""Write keys: several at once, replaced without loss, ended when they should."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.access import sources, write_keys
from app.access.tables import WriteKey
from app.db import Sessions
from app.errors import WriteKeyNotFound
from app.events import tally
from app.events.meter import Meter
from tests.end_to_end.product import wait_until

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)


def send(server: TestClient, key: str, message_id: str) -> Any:
    event = {"event": "Seen", "userId": "u-1", "messageId": message_id}
    return server.post("/v1/track", json=event, auth=(key, ""))


def test_keys_are_replaced_under_load_and_nothing_is_lost(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    keys = [write_key]
    stop = threading.Event()
    acknowledged: list[str] = []
    failed: list[int] = []

    def hammer(worker: int) -> None:
        number = 0
        while not stop.is_set():
            # Half of the senders learn of a new key at once, the others late.
            key = keys[-1] if worker % 2 else keys[max(0, len(keys) - 2)]
            message_id = f"{worker}-{number}"
            number += 1
            answer = send(server, key, message_id)
            if answer.status_code == 200:
                acknowledged.append(message_id)
            else:
                failed.append(answer.status_code)

    threads = [threading.Thread(target=hammer, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(0.4)
            with sessions.begin() as session:
                source = sources.find(session, "web")
                now = datetime.now(UTC)
                key = write_keys.rotate(session, source.id, keep=DAY, now=now)[1]
            keys.append(key)  # once it is committed: it is told to nobody before
        time.sleep(2.5)  # longer than a server remembers a key
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert len(acknowledged) > 50
    with sessions() as session:
        stored = session.scalars(sa.text("SELECT message_id FROM app.event")).all()
        now = datetime.now(UTC)
        assert tally.read(session, source.id, now).day.accepted == len(acknowledged)
        assert len(write_keys.list_all(session, source.id, now=now)) == 4
    assert sorted(stored) == sorted(acknowledged)


def test_a_key_that_ends_at_once_is_refused_within_two_seconds(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    assert send(server, write_key, "m-1").status_code == 200
    with sessions.begin() as session:
        source = sources.find(session, "web")
        new = write_keys.rotate(
            session, source.id, keep=timedelta(), now=datetime.now(UTC)
        )[1]  # fmt: skip
    assert send(server, new, "m-2").status_code == 200
    wait_until(lambda: send(server, write_key, "m-3").status_code == 401 or None, 2.5)
    assert send(server, new, "m-4").status_code == 200


def test_a_key_stops_at_its_time_although_it_is_remembered(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    with sessions.begin() as session:
        source = sources.find(session, "web")
        ends = datetime.now(UTC) + timedelta(seconds=2)
        key = session.scalars(sa.select(WriteKey)).one()
        key.expires_at = ends
    assert send(server, write_key, "m-1").status_code == 200
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
    assert send(server, write_key, "m-2").status_code == 401
    with sessions() as session:
        assert write_keys.list_all(session, source.id, now=datetime.now(UTC)) == []


def test_a_rotation_prolongs_no_key_and_a_key_may_be_removed_alone(session: Session) -> None:
    source, _ = sources.add(session, "web")
    first = write_keys.list_all(session, source.id, now=NOW)[0]
    write_keys.rotate(session, source.id, keep=DAY, now=NOW)
    second, _ = write_keys.rotate(session, source.id, keep=7 * DAY, now=NOW, label="2027")
    assert first.expires_at == NOW + DAY
    assert (second.expires_at, second.label) == (None, "2027")
    assert len(write_keys.list_all(session, source.id, now=NOW + 2 * DAY)) == 2
    write_keys.remove(session, source.id, second.id, now=NOW)
    assert second not in write_keys.list_all(session, source.id, now=NOW)
    other, _ = sources.add(session, "app")
    for key_id in (second.id, 999_999):
        with pytest.raises(WriteKeyNotFound):
            write_keys.remove(session, source.id, key_id, now=NOW)
    with pytest.raises(WriteKeyNotFound):
        write_keys.remove(session, other.id, first.id, now=NOW)


def test_only_the_hash_of_a_key_and_its_end_are_kept(session: Session) -> None:
    source, text = sources.add(session, "web")
    [key] = write_keys.list_all(session, source.id, now=NOW)
    assert text.endswith(key.hint)
    assert len(key.hint) == 4
    kept = session.scalars(sa.text("SELECT k::text FROM app.write_key k")).one()
    assert text[:-4] not in kept
    assert key.key_hash == write_keys.hash_key(text)


def test_the_last_use_of_each_key_is_remembered_without_a_write_per_request(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    with sessions.begin() as session:
        source = sources.find(session, "web")
        other = write_keys.add(session, source.id)[0]
    before = datetime.now(UTC)

    def used() -> datetime | None:
        with sessions() as session:
            return session.scalar(
                sa.select(WriteKey.last_used_at).where(WriteKey.hint != other.hint)
            )

    send(server, write_key, "m-1")
    first = wait_until(used, 5)
    assert before <= first <= datetime.now(UTC)
    send(server, write_key, "m-2")
    time.sleep(1.5)
    assert used() == first
    server.app.state.meter.close()  # type: ignore[attr-defined]  # a FastAPI, not any ASGI
    assert (used() or first) > first
    with sessions() as session:
        assert session.get_one(WriteKey, other.id).last_used_at is None


def test_an_earlier_use_does_not_take_back_a_later_one(sessions: Sessions) -> None:
    with sessions.begin() as session:
        source, _ = sources.add(session, "web")
        [key] = write_keys.list_all(session, source.id, now=NOW)
    for at in (NOW, NOW - DAY, NOW + DAY):
        meter = Meter(sessions)
        meter.used(key.id, at)
        meter.used(999_999, at)  # removed meanwhile
        meter.close()
    with sessions() as session:
        assert session.get_one(WriteKey, key.id).last_used_at == NOW + DAY
