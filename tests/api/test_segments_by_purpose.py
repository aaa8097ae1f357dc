"""Segments tell nothing of a purpose that the client is not registered for."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions

EMAIL, ADS = "marketing.email", "ads.share"
Header = dict[str, str]
ASKS: dict[str, Any] = {"all": [{"event": "Order"}, {"not": {"consent": ADS}}]}


@pytest.fixture
def both(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., Header]
) -> Header:
    """One person, and a client for both purposes that made a segment which tells of the other."""
    context = {"consent": {"categoryPreferences": {EMAIL: True, ADS: False}}}
    event = {"userId": "ada", "event": "Order", "context": context, "writeKey": write_key}
    server.post("/v1/track", json=event).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    header = token(purposes=(EMAIL, ADS))
    for key, rule in (("asks", ASKS), ("nested", {"segment": "asks"}), ("plain", ASKS["all"][0])):
        answer = create(server, header, key, rule)
        assert (answer.status_code, answer.json()["size"]) == (201, 1)
    return header


def create(server: TestClient, header: Header, key: str, rule: Any, purpose: str = EMAIL) -> Any:
    body = {"key": key, "name": key, "purpose": purpose, "rule": rule}
    return server.post("/v1/segments", json=body, headers=header)


def test_a_rule_tells_nobody_of_decisions_for_a_purpose_they_may_not_state(
    server: TestClient, both: Header, token: Callable[..., Header]
) -> None:
    mail = token(purposes=(EMAIL,))
    change = {"name": "x", "purpose": EMAIL, "rule": ASKS}
    asked = {"purpose": EMAIL, "rule": ASKS}
    for header, allowed in ((mail, False), (both, True)):
        answers = [
            create(server, header, f"new-{allowed:d}", ASKS),
            create(server, header, f"by-another-{allowed:d}", {"segment": "nested"}),
            server.put("/v1/segments/plain", json=change, headers=header),
            server.post("/v1/segments/preview", json=asked, headers=header),
            server.get("/v1/segments/asks/explain/user_id:ada", headers=header),
            server.get("/v1/segments/nested/explain/user_id:ada", headers=header),
        ]
        assert [one.is_success for one in answers] == [allowed] * len(answers)
        codes = {one.json()["code"] for one in answers if not one.is_success}
        assert codes <= {"purpose-not-allowed"}
    kept = [one["key"] for one in server.get("/v1/segments", headers=both).json()["data"]]
    assert not [key for key in kept if key.endswith("-0")]


def test_sizes_are_told_to_who_may_state_the_purpose_and_nobody_else_fills_a_segment(
    server: TestClient, both: Header, token: Callable[..., Header]
) -> None:
    other = token(purposes=(ADS,))
    assert create(server, other, "x", {"event": "Order"}).json()["code"] == "purpose-not-allowed"
    for header, size in ((other, None), (both, 1)):
        assert server.get("/v1/segments/plain", headers=header).json()["size"] == size
        listed = server.get("/v1/segments", headers=header).json()["data"]
        assert {one["size"] for one in listed} == {size}
