"""A segment over the API: its members while no worker has been there, and rules too large."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.privacy import requests, run
from app.profiles import history
from app.segments import looking
from app.settings import Settings
from identity import identifiers
from tests.end_to_end.product import wait_until


def test_who_withdrew_is_listed_no_more_although_no_worker_runs(
    server: TestClient, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email",))
    yes = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    for user in ("ada", "bea"):
        event = {"event": "Order", "userId": user, "context": yes, "writeKey": write_key}
        server.post("/v1/track", json=event).raise_for_status()
    segment = {"key": "all", "name": "A", "purpose": "marketing.email", "rule": {"event": "Order"}}
    server.post("/v1/segments", json=segment, headers=header).raise_for_status()

    def members() -> int:
        return len(server.get("/v1/segments/all/members", headers=header).json()["data"])

    assert members() == 2
    withdrawal = {
        "subject": {"namespace": "user_id", "value": "ada"},
        "decisions": [{"purpose": "marketing.email", "state": "withdrawn"}],
    }
    server.post("/v1/consents", json=withdrawal, headers=header).raise_for_status()
    assert members() == 1


def test_a_rule_that_would_slow_every_step_is_refused(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email",))
    many = [{"prop": "p", "value": n} for n in range(51)]
    wide = {"any": [{"all": [{"event": "x"}] * 50}] * 5}
    for rule in ({"event": "x", "where": many}, wide):
        body = {"key": "wide", "name": "W", "purpose": "marketing.email", "rule": rule}
        assert server.post("/v1/segments", json=body, headers=header).status_code == 422


def test_the_size_is_how_many_are_in_after_an_erasure_and_in_the_archive_too(
    server: TestClient, write_key: str, token: Callable[..., dict[str, str]], sessions: Sessions,
    settings: Settings,
) -> None:  # fmt: skip
    header = token(purposes=("marketing.email",))
    yes = {"consent": {"categoryPreferences": {"marketing.email": True}}}

    def listed(**asked: Any) -> dict[str, int]:
        answer = server.get("/v1/segments", headers=header, params=asked)
        rows = {row["key"]: row["size"] for row in answer.json()["data"]}
        count = "SELECT count(*) FROM app.segment_member WHERE left_at IS NULL"
        with sessions() as session:
            assert session.scalar(sa.text(count)) == sum(rows.values())
        return rows

    for user in ("ada", "bea", "cleo"):
        event = {"event": "Order", "userId": user, "context": yes, "writeKey": write_key}
        server.post("/v1/track", json=event).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    segment = {"key": "all", "name": "A", "purpose": "marketing.email", "rule": {"event": "Order"}}
    server.post("/v1/segments", json=segment, headers=header).raise_for_status()
    assert listed() == {"all": 3}
    with sessions.begin() as session:
        request = requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse("user_id:ada")],
            by="test", now=datetime.now(UTC), attested="a test",
        ).id  # fmt: skip
    run.at_once(sessions, settings, request)
    assert listed() == {"all": 2}
    server.post("/v1/segments/all/archive", headers=header).raise_for_status()
    assert (listed(), listed(archived=True)) == ({}, {"all": 0})


def test_segments_are_listed_by_what_changed_since(
    server: TestClient, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=("marketing.email",))

    def since(moment: str) -> list[tuple[str, bool]]:
        answer = server.get("/v1/segments", headers=header, params={"updated_after": moment})
        answer.raise_for_status()
        return [(row["key"], row["archived_at"] is not None) for row in answer.json()["data"]]

    stamps = []
    for key in ("one", "two"):
        body = {"key": key, "name": key, "purpose": "marketing.email", "rule": {"event": "Order"}}
        made = server.post("/v1/segments", json=body, headers=header)
        stamps.append(made.json()["updated_at"])
    before = datetime.fromisoformat(stamps[0]) - timedelta(seconds=1)
    assert since(before.isoformat()) == [("one", False), ("two", False)]
    assert since(stamps[0]) == [("two", False)]
    assert since(stamps[1]) == []
    server.post("/v1/segments/one/archive", headers=header).raise_for_status()
    assert since(stamps[1]) == [("one", True)]
    [archived] = server.get(
        "/v1/segments", headers=header, params={"updated_after": stamps[1]}
    ).json()["data"]
    body = {"name": "one", "purpose": "marketing.email", "rule": {"event": "Order"}}
    server.put("/v1/segments/one", json=body, headers=header).raise_for_status()
    assert since(archived["updated_at"]) == [("one", False)], "it is taken up again"
    wrong = server.get("/v1/segments?updated_after=2026-01-01", headers=header)
    assert wrong.status_code == 422


def test_a_definition_that_is_begun_later_is_committed_and_stamped_later(
    server: TestClient, write_key: str, token: Callable[..., dict[str, str]], sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    header = token(purposes=("marketing.email",))
    event = {"event": "Order", "userId": "ada", "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)

    def create(key: str) -> str:
        body = {"key": key, "name": key, "purpose": "marketing.email", "rule": {"event": "Order"}}
        made = server.post("/v1/segments", json=body, headers=header)
        made.raise_for_status()
        return str(made.json()["updated_at"])

    def since(moment: str) -> list[str]:
        answer = server.get("/v1/segments", headers=header, params={"updated_after": moment})
        return [row["key"] for row in answer.json()["data"]]

    def waits() -> bool:
        waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        with sessions() as session:
            return bool(session.scalar(sa.text(waiting)))

    with ThreadPoolExecutor(2) as pool:
        with sessions.begin() as session:
            history.wait_for_steps(session)
            slow = pool.submit(create, "slow")
            wait_until(waits, 10)
            monkeypatch.setattr(looking, "FEW", 0)  # the next one waits for no step, but for it
            quick = pool.submit(create, "quick")
            with pytest.raises(TimeoutError):
                quick.result(0.5)
        moment = slow.result(10)
        assert quick.result(10) > moment
    assert since(moment) == ["quick"]
