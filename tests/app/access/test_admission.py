"""What a source may send: origins, sizes and rate, each refused with its reason and counted."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import api.known_sources
from app.access import sources
from app.db import Sessions
from app.events import tally
from app.events.meter import Meter
from tests.end_to_end.product import wait_until

Add = Callable[..., str]


@pytest.fixture
def add(sessions: Sessions) -> Add:
    """Add a source `limited` with these settings and return its write key."""

    def made(**settings: Any) -> str:
        with sessions.begin() as session:
            return sources.add(session, "limited", **settings)[1]

    return made


def batch(count: int, **fields: Any) -> dict[str, Any]:
    event = {"type": "track", "event": "Seen", "userId": "u-1", **fields}
    return {"batch": [event] * count}


def day(sessions: Sessions) -> tally.Counts:
    with sessions() as session:
        source = sources.find(session, "limited")
        now = session.scalar(sa.select(sa.func.now()))
        assert now is not None
        return tally.read(session, source.id, now).day


def test_only_pages_of_allowed_origins_may_send_and_servers_may(
    server: TestClient, sessions: Sessions, add: Add
) -> None:
    key = add(allowed_origins=["https://shop.example", "https://*.example.com"])

    def post(origin: str | None) -> Any:
        headers = {"Origin": origin} if origin is not None else {}
        return server.post("/v1/batch", json=batch(2), auth=(key, ""), headers=headers)

    for good in (None, "https://shop.example", "https://www.example.com", "HTTPS://SHOP.example"):
        assert post(good).json()["accepted"] == 2, good
    for bad in ("https://evil.example", "http://shop.example", "https://example.com", "null", ""):
        answer = post(bad)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (403, "origin-not-allowed"), bad
        assert problem["message"]
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["access-control-allow-origin"] == "*"
    wait_until(lambda: day(sessions).rejected == {"origin-not-allowed": 10} or None, 5)
    assert day(sessions).accepted == 8


def test_explicit_choices_obey_the_allowed_origins_too(server: TestClient, add: Add) -> None:
    key = add(allowed_origins=["https://shop.example"])
    choice = {
        "subject": {"namespace": "user_id", "value": "u-1"},
        "decisions": [{"purpose": "marketing.email", "state": "given"}],
    }
    for origin, status in (("https://evil.example", 403), ("https://shop.example", 200)):
        answer = server.post(
            "/v1/consents", json=choice, auth=(key, ""), headers={"Origin": origin}
        )
        assert answer.status_code == status, answer.text


def test_too_many_events_per_second_get_429_and_pass_after_retry_after(
    server: TestClient, sessions: Sessions, add: Add
) -> None:
    key = add(events_per_second=10, burst=20)

    def post(count: int) -> Any:
        return server.post("/v1/batch", json=batch(count), auth=(key, ""))

    assert post(20).status_code == 200
    refused = post(10)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
    assert refused.json()["message"]
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["access-control-allow-origin"] == "*"
    time.sleep(int(refused.headers["retry-after"]))
    assert post(10).status_code == 200
    wait_until(lambda: day(sessions).rejected == {"rate-limited": 10} or None, 5)
    assert day(sessions).accepted == 30


def test_a_batch_larger_than_the_burst_passes_when_nothing_else_came(
    server: TestClient, add: Add
) -> None:
    key = add(events_per_second=5)
    assert server.post("/v1/batch", json=batch(50), auth=(key, "")).json()["accepted"] == 50
    answer = server.post("/v1/batch", json=batch(1), auth=(key, ""))
    assert answer.status_code == 429
    assert 5 <= int(answer.headers["retry-after"]) <= 10  # less by as long as the answer took


def test_sizes_are_those_of_the_source(server: TestClient, sessions: Sessions, add: Add) -> None:
    key = add(max_event_bytes=2_000, max_batch_events=3, max_batch_bytes=20_000)
    large = {"type": "track", "event": "x", "userId": "u", "properties": {"p": "x" * 3_000}}
    small = {"type": "track", "event": "x", "userId": "u"}
    answer = server.post(
        "/v1/batch", json={"batch": [small, large, small, small]}, auth=(key, "")
    ).json()
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (1, "too_large"),
        (3, "too_many"),
    ]
    whole = server.post("/v1/batch", json={"batch": [large] * 7}, auth=(key, ""))
    assert (whole.status_code, whole.json()["code"]) == (413, "body-too-large")
    assert "20000" in whole.json()["message"]
    counted = {"too_large": 1, "too_many": 1, "body-too-large": 7}
    wait_until(lambda: day(sessions).rejected == counted or None, 5, what="counted")


def test_a_small_limit_of_events_rejects_those_beyond_it_and_no_whole_request(
    server: TestClient, add: Add
) -> None:
    key = add(max_batch_events=1)
    answer = server.post("/v1/batch", json=batch(40), auth=(key, "")).json()
    assert (answer["accepted"], len(answer["rejected"])) == (1, 39)


def test_a_source_may_be_allowed_larger_events_than_others(server: TestClient, add: Add) -> None:
    key = add(max_event_bytes=200_000)
    large = {"type": "track", "event": "x", "userId": "u", "properties": {"p": "x" * 100_000}}
    assert server.post("/v1/track", json=large, auth=(key, "")).json()["accepted"] == 1


def test_bodies_that_nobody_could_read_are_counted_once_for_whom_they_came_from(
    server: TestClient, sessions: Sessions, add: Add
) -> None:
    key = add()
    for content, status in ((b"{", 400), (b'{"batch": {}}', 400), (b" " * 5_000_000, 413)):
        answer = server.post("/v1/batch", content=content, auth=(key, ""))
        assert answer.status_code == status

    def endless() -> Any:
        yield from (b" " * 100_000 for _ in range(60))

    assert server.post("/v1/batch", content=endless(), auth=(key, "")).status_code == 413
    counted = {"body-unreadable": 2, "body-too-large": 2}
    wait_until(lambda: day(sessions).rejected == counted or None, 5, what="counted")
    time.sleep(1.1)
    assert day(sessions).rejected == counted


def test_changed_settings_hold_within_two_seconds(
    server: TestClient, sessions: Sessions, add: Add
) -> None:
    key = add()

    def status() -> int:
        headers = {"Origin": "https://evil.example"}
        return server.post("/v1/batch", json=batch(1), auth=(key, ""), headers=headers).status_code

    assert status() == 200
    with sessions.begin() as session:
        source = sources.find(session, "limited")
        changes = {"allowed_origins": ["https://shop.example"]}
        sources.change(session, source, changes, largest_body=4_500_000)
    wait_until(lambda: status() == 403 or None, 2.5)


def test_random_keys_cost_few_queries_and_no_memory(
    server: TestClient, monkeypatch: pytest.MonkeyPatch, write_key: str
) -> None:
    asked: list[int] = []
    look_up = sources.find_by_hashes

    def counted(session: Any, hashes: Any) -> Any:
        asked.append(len(hashes))
        return look_up(session, hashes)

    monkeypatch.setattr(sources, "find_by_hashes", counted)
    monkeypatch.setattr(api.known_sources, "MOST_REMEMBERED", 50)
    started = time.monotonic()

    def knock(number: int) -> int:
        content = json.dumps({**batch(1), "writeKey": f"wk_{number:032}"}).encode()
        return server.post("/v1/batch", content=content).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(knock, range(400))) == {401}
    seconds = time.monotonic() - started
    assert sum(asked) == 400
    assert len(asked) <= seconds / api.known_sources.PAUSE + 2
    remembered = server.app.state.sources  # type: ignore[attr-defined]  # a FastAPI, not any ASGI
    assert len(remembered._unknown) <= 50
    assert not remembered._waiting
    before = len(asked)
    for _ in range(5):
        knock(399)
    assert server.post("/v1/batch", json=batch(1), auth=("x" * 5_000, "")).status_code == 401
    assert len(asked) == before
    assert server.post("/v1/batch", json=batch(1), auth=(write_key, "")).status_code == 200


def test_a_key_is_known_as_soon_as_it_exists(
    server: TestClient, sessions: Sessions, write_key: str
) -> None:
    for number in range(5):
        with sessions.begin() as session:
            key = sources.add(session, f"s{number}")[1]
        assert server.post("/v1/batch", json=batch(1), auth=(key, "")).status_code == 200


def test_what_was_refused_is_written_when_the_database_is_back(sessions: Sessions) -> None:
    class Away:
        """Sessions on a database that is away at first."""

        left = 1

        def begin(self) -> Any:
            if self.left:
                self.left -= 1
                raise sa.exc.OperationalError("", {}, Exception("gone"))
            return sessions.begin()

    with sessions.begin() as session:
        source, _ = sources.add(session, "limited")
    meter = Meter(Away())  # type: ignore[arg-type]  # all of it that is used
    for _ in range(3):
        meter.refused(source.id, "rate-limited", 5)
    wait_until(lambda: day(sessions).rejected == {"rate-limited": 15} or None, 5)
    meter.refused(source.id, "rate-limited", 0)
    meter.close()
    assert day(sessions).rejected == {"rate-limited": 16}
