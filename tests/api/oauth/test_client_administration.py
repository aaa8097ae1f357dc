"""Clients are administered over HTTP, by a client that can give only what it has itself."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from app.access import clients
from app.db import Sessions
from app.errors import DefinitionInvalid
from tests.api.line import Line
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


def stated(sessions: Sessions, client_id: str) -> list[dict[str, str]]:
    """What the ledger will say of the administration of a client, in order."""
    query = (
        "SELECT public FROM consent.ledger_statement WHERE public ->> 'client' = :it ORDER BY id"
    )
    with sessions() as session:
        return list(session.scalars(sa.text(query), {"it": client_id}))


def everything_stated(sessions: Sessions) -> str:
    query = "SELECT concat(public, body) FROM consent.ledger_statement"
    with sessions() as session:
        return "\n".join(session.scalars(sa.text(query)))


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


def test_who_opens_the_vault_is_named_on_the_command_line_alone(
    server: TestClient, sessions: Sessions
) -> None:
    """Else one client would be both of the two that have to agree."""
    rights = ("clients:admin", "proof:open", "profiles:read")
    one = Administrator(server, register(sessions, *rights))
    exceeded(one.ask("POST", body={"name": "x", "scopes": ["proof:open"]}), "command line")
    other = register(sessions, "proof:open")
    for known in (other, one.known):
        path = f"/{known.id}/credentials/rotate"
        for body in (None, {"keep_seconds": 0}):
            exceeded(one.ask("POST", path, body), "command line")
        assert ask(server, known).status_code == 200
    assert one.ask("POST", f"/{other.id}/tokens/revoke").status_code == 204, "taking away is free"
    crm = one.register("profiles:read")
    path = f"/{crm.id}/credentials/rotate"
    too_long = one.ask("POST", path, {"keep_seconds": 86_401})
    assert too_long.status_code == 422, "the old secret hides the new one no longer than a day"


def test_every_act_is_stated_in_the_ledger_with_who_did_it_and_no_secret(
    administrator: Administrator, sessions: Sessions
) -> None:
    crm = administrator.register("profiles:read", purposes=["marketing.email"])
    path = f"/{crm.id}/credentials"
    second = administrator.ask("POST", f"{path}/rotate").json()
    administrator.ask("PUT", f"/{crm.id}/limits", {"requests_per_second": 20, "burst": 100})
    first = administrator.ask("GET", f"/{crm.id}").json()["credentials"][0]["id"]
    administrator.ask("DELETE", f"{path}/{first}")
    administrator.ask("POST", f"/{crm.id}/tokens/revoke")
    exceeded(administrator.ask("POST", body={"name": "x", "scopes": ["ledger:read"]}), "ledger")
    assert administrator.ask("DELETE", f"{path}/{first}").status_code == 404
    administrator.ask("DELETE", f"/{crm.id}")
    said = stated(sessions, crm.id)
    assert {(one["act"], one["by"]) for one in said} == {("client", administrator.known.id)}
    own = [{k: v for k, v in one.items() if k not in ("act", "by", "client")} for one in said]
    assert own == [
        {"what": "registered", "given": "secret"},
        {"what": "rotated", "given": "secret", "others_end": f"{second['others_end_at'][:16]}Z"},
        {"what": "limited", "requests_per_second": "20", "burst": "100"},
        {"what": "credential_ended", "credential": str(first)},
        {"what": "tokens_revoked"},
        {"what": "removed"},
    ]
    text = everything_stated(sessions)
    assert '"scopes": ["profiles:read"]' in text
    assert crm.secret not in text
    assert second["client_secret"] not in text


def test_commands_state_their_acts_too_and_a_name_is_shown_as_it_is(
    tmp_path: Path, database_url: str, sessions: Sessions
) -> None:
    line = Line("client", tmp_path, database_url)
    jwk = ECKey.generate_key("P-256", {"kid": "one"}).as_dict(private=False)
    file = tmp_path / "key.jwk"
    file.write_text(json.dumps(jwk), "utf-8")
    for wrong in ("", " crm", "crm\n", "\x1b[2Jcrm", "crm\u202e"):
        with pytest.raises(DefinitionInvalid):
            line("add", wrong, "--scope", "profiles:read")
    it = line.json("add", "[/red]:x:[bold]crm", "--scope", "profiles:read")["client_id"]
    old = register(sessions, "profiles:read")
    with sessions.begin() as session:  # as they could be called until now
        clients.find(session, old.id).name = "old\x1b[2J\u202e\x9b[/i]"
    shown = line("list")
    assert "[/red]:x:[bold]crm" in shown
    assert "old\\x1b[2J\\u202e\\x9b[/i]" in shown
    assert not {"\x1b", "\u202e", "\x9b"} & set(shown)

    line("add-key", it, str(file))
    line("rotate", it, "--now")
    line("limit", it)
    [last] = line.json("credentials", it)
    line("end-credential", it, str(last["id"]))
    line("revoke-tokens", it)
    line("remove", it)
    said = stated(sessions, it)
    assert {one["by"] for one in said} == {"operator"}
    assert [one["what"] for one in said] == [
        "registered", "keys_added", "rotated", "limited", "credential_ended", "tokens_revoked",
        "removed",
    ]  # fmt: skip


def test_a_name_over_http_is_one_printable_line(administrator: Administrator) -> None:
    for wrong in ("a\x1b[2Jb", "a\nb", " a", "a\u202eb", "\x9ba"):
        answer = administrator.ask("POST", body={"name": wrong, "scopes": ["profiles:read"]})
        assert (answer.status_code, answer.json()["code"]) == (422, "definition-invalid"), wrong


def test_who_is_limited_gives_no_more_than_that(
    administrator: Administrator, sessions: Sessions
) -> None:
    def limited(rate: float | None, burst: int | None) -> None:
        with sessions.begin() as session:
            row = clients.find(session, administrator.known.id)
            row.requests_per_second, row.burst = rate, burst

    peer = administrator.register("clients:admin")
    limited(1000, 500)
    wanted = {"name": "peer", "scopes": ["clients:admin"]}
    made = administrator.ask("POST", body=wanted).json()
    assert (made["requests_per_second"], made["burst"]) == (1000, 500)
    less = {"requests_per_second": 900, "burst": 500}
    assert administrator.ask("POST", body={**wanted, **less}).json()["requests_per_second"] == 900
    assert administrator.ask("PUT", f"/{peer.id}/limits", less).json()["burst"] == 500
    for more in ({"requests_per_second": 1001, "burst": 1}, {"requests_per_second": 600},
                 {"requests_per_second": 1, "burst": 501}):  # fmt: skip
        exceeded(administrator.ask("POST", body={**wanted, **more}), "1000 requests per second")
        exceeded(administrator.ask("PUT", f"/{peer.id}/limits", more), "500 at once")
    lifted = administrator.ask("PUT", f"/{peer.id}/limits", {"requests_per_second": None})
    exceeded(lifted, "1000 requests per second")
    limited(None, None)
    assert administrator.ask("POST", body=wanted).json()["requests_per_second"] is None


def test_answers_with_a_secret_are_stored_nowhere(
    administrator: Administrator, server: TestClient, sessions: Sessions
) -> None:
    """RFC 7591 §3.2.1 and RFC 9111 §5.2.2.5."""
    made = administrator.ask("POST", body={"name": "crm", "scopes": ["profiles:read"]})
    rotated = administrator.ask("POST", f"/{made.json()['client_id']}/credentials/rotate")
    token = token_of(server, register(sessions, "sources:admin"))
    header = {"Authorization": f"Bearer {token}"}
    source = server.post("/v1/sources", json={"name": "unstored"}, headers=header)
    path = f"/v1/sources/{source.json()['id']}/keys"
    keys = [server.post(one, headers=header) for one in (path, f"{path}/rotate")]
    for answer in (made, rotated, source, *keys):
        assert (answer.status_code, answer.headers.get("cache-control")) == (201, "no-store")
