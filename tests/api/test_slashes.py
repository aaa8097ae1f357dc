"""An id with a slash in it is read by its percent-encoded form, on every path that takes one."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions

PURPOSE = "service.operation"


@pytest.fixture
def header(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
) -> dict[str, str]:
    """Somebody whose id has slashes, encoded ones too, and somebody whose id is its beginning."""
    for user, name in (("a/b%2F", "Ada"), ("a", "Bea")):
        body = {"userId": user, "traits": {"name": name}, "writeKey": write_key}
        server.post("/v1/identify", json=body).raise_for_status()
        body = {"userId": user, "groupId": "x/y", "traits": {"plan": "gold"}, "writeKey": write_key}
        server.post("/v1/group", json=body).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)
    return token(purposes=(PURPOSE,))


def test_an_id_with_a_slash_is_one_segment_of_the_path(
    server: TestClient, header: dict[str, str]
) -> None:
    def read(path: str) -> Any:
        answer = server.get(path, headers=header, params={"purpose": PURPOSE})
        return answer.json() if answer.is_success else answer.status_code

    for slash in ("%2F", "%2f"):
        whole = read(f"/v1/profiles/user_id:a{slash}b%252F")
        assert whole["traits"] == {"name": "Ada"}
    every = [f"/{part}" for part in ("traits", "identifiers", "events", "segments", "accounts")]
    for part in every:
        found = read(f"/v1/profiles/user_id:a%2Fb%252F{part}")
        assert found["profile_id"] == whole["profile_id"]
    assert read("/v1/profiles/user_id:a%2Ftraits") == 404, "an id that nobody has"
    account = read("/v1/accounts/account:x%2Fy")
    assert account["id"] == "x/y"
    theirs = read(f"/v1/spaces/{PURPOSE}/collections/users/profiles/user_id:a%2Fb%252F/traits")
    assert theirs["traits"] == {"name": "Ada"}


def test_a_path_is_shown_as_it_was_sent(server: TestClient, header: dict[str, str]) -> None:
    answer = server.get("/v1/profiles/user_id:n%2Fo", headers=header, params={"purpose": PURPOSE})
    assert (answer.status_code, answer.json()["instance"]) == (404, "/v1/profiles/user_id:n%2Fo")
    assert server.get("/v1%2Fprofiles", headers=header).status_code == 404
