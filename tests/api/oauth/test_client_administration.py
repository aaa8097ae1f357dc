"""Clients are administered over HTTP, by a client that can give only what it has itself."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from app.access import clients
from app.db import Sessions
from tests.api.oauth.wire import Answer, Known, ask, read, refused, register, token_of

RIGHTS = ("clients:admin", "profiles:read", "segments:read")


class Administrator:
    """A client that administers others."""

    def __init__(self, server: TestClient, known: Known) -> None:
        self.server, self.known = server, known
        self.header = {"Authorization": f"Bearer {token_of(server, known)}"}

    def ask(self, method: str, path: str = "", body: Any = None, **params: Any) -> Answer:
        answer: Answer = self.server.request(
            method, f"/v1/clients{path}", json=body, headers=self.header, params=params
        )
        return answer

    def register(self, *scopes: str, **more: Any) -> Known:
        answer = self.ask("POST", body={"name": "crm", "scopes": list(scopes), **more})
        assert answer.status_code == 201, answer.text
        return Known(answer.json()["client_id"], answer.json()["client_secret"])


@pytest.fixture
def administrator(server: TestClient, sessions: Sessions) -> Administrator:
    return Administrator(server, register(sessions, *RIGHTS, purposes=("marketing.email",)))


def exceeded(answer: Answer, what: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (403, "rights-exceeded"), answer.text
    assert what in answer.json()["message"]


def test_a_client_is_registered_used_rotated_and_removed(
    administrator: Administrator, server: TestClient, guarded: TestClient
) -> None:
    crm = administrator.register("profiles:read", purposes=["marketing.email"])
    token = token_of(server, crm)
    assert read(guarded, token).json()["purposes"] == ["marketing.email"]
    found = administrator.ask("GET", f"/{crm.id}").json()
    assert (found["name"], found["scopes"], len(found["credentials"])) == (
        "crm", ["profiles:read"], 1,
    )  # fmt: skip
    assert crm.secret not in str(found)
    assert found["credentials"][0]["hint"] == crm.secret[-len(found["credentials"][0]["hint"]) :]

    path = f"/{crm.id}/credentials/rotate"
    second = Known(crm.id, administrator.ask("POST", path).json()["client_secret"])
    assert ask(server, crm).status_code == ask(server, second).status_code == 200
    third = administrator.ask("POST", path, {"keep_seconds": 0}).json()["client_secret"]
    assert ask(server, second).status_code == 401
    assert ask(server, Known(crm.id, third)).status_code == 200

    assert administrator.ask("POST", f"/{crm.id}/tokens/revoke").status_code == 204
    refused(read(guarded, token))
    [last] = administrator.ask("GET", f"/{crm.id}").json()["credentials"]
    ended = f"/{crm.id}/credentials/{last['id']}"
    assert administrator.ask("DELETE", ended).status_code == 204
    assert administrator.ask("DELETE", ended).json()["code"] == "credential-not-found"
    assert ask(server, Known(crm.id, third)).status_code == 401

    assert administrator.ask("DELETE", f"/{crm.id}").status_code == 204
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/tokens/revoke")):
        assert administrator.ask(method, f"/{crm.id}{rest}").json()["code"] == "client-not-found"


def test_no_client_gives_what_it_lacks_to_another_or_to_itself(
    administrator: Administrator, server: TestClient, sessions: Sessions
) -> None:
    for scope in set(clients.SCOPES).difference(RIGHTS):
        wanted = {"name": "more", "scopes": [scope, "profiles:read"]}
        exceeded(administrator.ask("POST", body=wanted), scope)
    wanted = {"name": "x", "scopes": ["profiles:read"], "purposes": ["analytics.audience"]}
    exceeded(administrator.ask("POST", body=wanted), "analytics.audience")

    # The secret of a stronger client would be its rights.
    for stronger in (
        register(sessions, "profiles:read", "privacy:process"),
        register(sessions, "profiles:read", purposes=("analytics.audience",)),
    ):
        exceeded(administrator.ask("POST", f"/{stronger.id}/credentials/rotate"), "lacks")
        assert ask(server, stronger).status_code == 200, "the credential it had goes on"
        assert administrator.ask("DELETE", f"/{stronger.id}").status_code == 204

    # A token that asked for less gives less.
    weak = token_of(server, administrator.known, scope="clients:admin")
    administrator.header = {"Authorization": f"Bearer {weak}"}
    exceeded(
        administrator.ask("POST", body={"name": "x", "scopes": ["profiles:read"]}), "profiles:read"
    )
    exceeded(administrator.ask("POST", f"/{administrator.known.id}/credentials/rotate"), "lacks")
    exceeded(
        administrator.ask(
            "PUT", f"/{administrator.known.id}/limits", {"requests_per_second": None}
        ),
        "its own",
    )


def test_a_client_signs_with_keys_instead_of_a_secret(administrator: Administrator) -> None:
    key = ECKey.generate_key("P-256", {"kid": "one"})
    wanted = {"name": "crm", "scopes": ["profiles:read"], "keys": [key.as_dict(private=False)]}
    made = administrator.ask("POST", body=wanted).json()
    assert (made["key_ids"], "client_secret" in made) == (["one"], False)
    private = administrator.ask("POST", body={**wanted, "keys": [key.as_dict(private=True)]})
    assert (private.status_code, private.json()["code"]) == (422, "definition-invalid")
    assert str(key.as_dict(private=True)["d"]) not in private.text


def test_limits_hold_from_the_next_request(
    administrator: Administrator, server: TestClient, guarded: TestClient
) -> None:
    crm = administrator.register("profiles:read")
    token = token_of(server, crm)
    limits = {"requests_per_second": 0.001, "burst": 1}
    answer = administrator.ask("PUT", f"/{crm.id}/limits", limits)
    assert (answer.status_code, answer.json()["burst"]) == (200, 1)
    assert [read(guarded, token).status_code for _ in range(3)][1:] == [429, 429]
    lifted = administrator.ask("PUT", f"/{crm.id}/limits", {"requests_per_second": None})
    assert lifted.json()["requests_per_second"] is None
    assert read(guarded, token).status_code == 200
    for wrong in ({}, {"requests_per_second": None, "burst": 2}, {"requests_per_second": 0},
                  {"requests_per_second": 1, "more": 1}):  # fmt: skip
        assert administrator.ask("PUT", f"/{crm.id}/limits", wrong).status_code == 422


def test_lists_are_paged_and_what_cannot_be_is_refused(administrator: Administrator) -> None:
    made = {administrator.register("profiles:read", name=f"😀 {n}").id for n in range(3)}
    found, cursor = [], None
    while True:
        more: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        page = administrator.ask("GET", limit=2, **more).json()
        assert len(page["data"]) <= 2
        found += [one["client_id"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found))
    assert made <= set(found)
    for wrong in ({"name": "", "scopes": ["profiles:read"]}, {"name": "x", "scopes": []},
                  {"name": "x", "scopes": ["profiles:read"], "burst": 1},
                  {"name": "x", "scopes": ["profiles:read"], "keys": []},
                  {"name": "a\0b", "scopes": ["profiles:read"]}):  # fmt: skip
        assert administrator.ask("POST", body=wrong).status_code == 422, wrong
