"""Segments that ask for the traits of the accounts that people are in."""

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions

EMAIL = "marketing.email"


def test_who_is_in_an_account_is_selected_by_what_may_be_used_of_it(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=(EMAIL,))

    def group(user: str, account: str, agrees: bool = True, **traits: Any) -> None:
        body = {
            "userId": user, "groupId": account, "traits": traits, "writeKey": write_key,
            "context": {"consent": {"categoryPreferences": {EMAIL: agrees}}},
        }  # fmt: skip
        server.post("/v1/group", json=body).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)

    def size(key: str) -> int:
        return int(server.get(f"/v1/segments/{key}", headers=header).json()["size"])

    group("ada", "acme", plan="gold")
    group("bea", "acme")
    rules: dict[str, Any] = {
        "gold": {"group_trait": "plan", "value": "gold"},
        "others": {"not": {"group_trait": "plan", "value": "gold"}},
        "household": {"group_trait": "plan", "group_type": "household", "op": "exists"},
    }
    for key, rule in rules.items():
        body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    assert [size(key) for key in rules] == [2, 0, 0]
    group("cleo", "acme")  # asked about alone, in a step: what ada told counts for cleo
    assert [size(key) for key in rules] == [3, 0, 0]
    group("dan", "other", plan="free")
    assert [size(key) for key in rules] == [3, 1, 0]
    group("bea", "acme", plan="silver")
    assert [size(key) for key in rules] == [0, 4, 0]
    group("bea", "acme", agrees=False)  # what bea told may not be used any more: ada's counts
    assert [size(key) for key in rules] == [2, 1, 0]
    pipeline.refresh_all(sessions)
    assert [size(key) for key in rules] == [2, 1, 0]
