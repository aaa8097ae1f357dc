"""A segment of many people is filled by the worker, beside steps of the pipeline, and no request
halts the product for it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app import pipeline
from app.db import Sessions, advisory_lock
from app.segments import looking, members

EMAIL = "marketing.email"
YES = {"consent": {"categoryPreferences": {EMAIL: True}}}
ORDER, TWICE = {"event": "Order"}, {"event": "Order", "count": {"gte": 2}}
Header = dict[str, str]


@pytest.fixture
def header(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., Header],
    monkeypatch: pytest.MonkeyPatch,
) -> Header:
    """Ada bought twice, Bea and Cleo once; that is too many people for a request."""
    monkeypatch.setattr(looking, "FEW", 2)
    monkeypatch.setattr(looking, "PORTION", 1)
    for user in ("ada", "ada", "bea", "cleo"):
        body = {"event": "Order", "userId": user, "context": YES, "writeKey": write_key}
        server.post("/v1/track", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    return token(purposes=(EMAIL,))


def make(server: TestClient, header: Header, key: str, rule: Any) -> dict[str, Any]:
    body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
    answer = server.post("/v1/segments", json=body, headers=header)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def put(server: TestClient, header: Header, key: str, rule: Any) -> dict[str, Any]:
    body = {"name": key, "purpose": EMAIL, "rule": rule}
    answer = server.put(f"/v1/segments/{key}", json=body, headers=header)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def shown(server: TestClient, header: Header, key: str) -> tuple[str, int]:
    found = server.get(f"/v1/segments/{key}", headers=header).json()
    return found["state"], found["size"]


def reasons(server: TestClient, header: Header) -> list[tuple[str, str | None]]:
    page = server.get("/v1/changes?types=segment.exited", headers=header).json()["data"]
    return sorted((one["data"]["segment"], one["data"]["reason"]) for one in page)


def test_a_definition_is_answered_while_a_step_is_under_way_and_filled_afterwards(
    server: TestClient, sessions: Sessions, header: Header
) -> None:
    with sessions.begin() as session, advisory_lock(session, "pipeline") as mine:
        assert mine  # a request that waited for this step would never be answered
        assert make(server, header, "buyers", ORDER)["state"] == "computing"
        make(server, header, "nested", {"segment": "buyers"})
        assert shown(server, header, "buyers") == ("computing", 0)
    assert pipeline.refresh_next(sessions)
    assert shown(server, header, "buyers") == ("fresh", 3)
    assert not pipeline.refresh_next(sessions)

    with sessions.begin() as session, advisory_lock(session, "pipeline") as mine:
        assert mine
        assert put(server, header, "buyers", TWICE)["state"] == "computing"
    assert shown(server, header, "nested") == ("computing", 3)
    assert server.get("/readyz").json()["reasons"] == ["no worker has run yet"]
    assert pipeline.refresh_next(sessions)
    for key in ("buyers", "nested"):
        assert shown(server, header, key) == ("fresh", 1)
    changed = [("buyers", "definition_changed")] * 2 + [("nested", "definition_changed")] * 2
    assert reasons(server, header) == changed


def test_a_definition_that_changes_during_a_look_is_looked_through_again(
    server: TestClient, sessions: Sessions, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(server, header, "buyers", ORDER)
    make(server, header, "nested", {"segment": "buyers"})
    really = looking.look

    def look(session: Session, listed: Sequence[Any], *, now: datetime) -> looking.Look:
        found = really(session, listed, now=now)
        put(server, header, "buyers", TWICE)
        return found

    with monkeypatch.context() as during:
        during.setattr(looking, "look", look)
        assert pipeline.refresh_next(sessions)
    assert {shown(server, header, key)[0] for key in ("buyers", "nested")} == {"computing"}
    assert pipeline.refresh_next(sessions)
    for key in ("buyers", "nested"):
        assert shown(server, header, key) == ("fresh", 1)


def test_a_look_whose_worker_dies_is_taken_up_again_at_once(
    server: TestClient, sessions: Sessions, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(server, header, "buyers", ORDER)
    told: list[int] = []
    really = pipeline.announce

    def dies(session: Session, *deltas: members.Delta, now: datetime) -> None:
        if told:
            raise KeyboardInterrupt
        told.append(1)
        really(session, *deltas, now=now)

    with sessions() as session:
        [group] = looking.due(session, now=datetime.now(UTC))
    with monkeypatch.context() as during:
        during.setattr(pipeline, "announce", dies)
        with pytest.raises(KeyboardInterrupt):
            pipeline._look(sessions, group)
    assert shown(server, header, "buyers") == ("computing", 1)
    assert pipeline.refresh_next(sessions)
    assert shown(server, header, "buyers") == ("fresh", 3)
    page = server.get("/v1/changes?types=segment.entered", headers=header).json()["data"]
    assert len({one["subject"] for one in page}) == len(page) == 3
