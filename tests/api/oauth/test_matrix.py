"""The authorization matrix: every operation that takes a token, with every kind of credentials.

It is made from the product's own OpenAPI document, so a new operation is in it by being there.
The everyday tests ask each operation for its strongest refusals; the long ones, for all of them.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.main import RESOURCES
from api.routes import health, oauth
from app.access import clients
from app.db import Sessions
from consent.defaults import CATALOGUE
from tests.api.oauth.operations import Call, Operation, Reply, answers, taking_tokens
from tests.api.oauth.wire import Forge, Known, our_key, part, register, segment, token_of

#: What is for the purpose of something that takes long to make is tested where that is made.
ELSEWHERE = re.compile(
    "{query_id}|{destination_id}|{key}/(personae|kpis|log.{form})|/saved-analyses/{key}"
)
PURPOSES = tuple(purpose.key for purpose in CATALOGUE)


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.long)], ids=["", "whole"])
def whole(request: pytest.FixtureRequest) -> bool:
    """Whether everything is asked, 9,000 calls, or what implies it."""
    return bool(request.param)


@pytest.fixture
def app(server: TestClient) -> FastAPI:
    return cast(FastAPI, server.app)


@pytest.fixture
def every(app: FastAPI) -> list[Operation]:
    found = list(taking_tokens(app.openapi()))
    assert len(found) > 120
    return found


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def wrong(calls: Iterable[Call], replies: Iterable[Reply], status: int, code: str) -> list[str]:
    """Return the calls that were not answered with this status and problem."""
    return [
        f"{call.operation}: {reply.status} {reply.code}"
        for call, reply in zip(calls, replies, strict=True)
        if (reply.status, reply.code) != (status, code)
    ]


def test_every_route_is_in_the_document() -> None:
    """What is not in there would not be in the matrix either."""
    routes = [route for m in (*RESOURCES, oauth, health) for route in m.router.routes]
    assert len(routes) > 130
    assert [route for route in routes if not getattr(route, "include_in_schema", False)] == []


def test_exactly_the_scopes_of_an_operation_open_it(
    server: TestClient, app: FastAPI, every: list[Operation], sessions: Sessions, whole: bool
) -> None:
    """Also for a token with all scopes but one of its own, which is stronger than any other."""
    without = {scope: frozenset(clients.SCOPES) - {scope} for scope in clients.SCOPES}
    single = {frozenset({scope}) for scope in clients.SCOPES}
    parts = {o.scopes - {scope} for o in every for scope in o.scopes if len(o.scopes) > 1}
    sets = single | parts | set(without.values()) | {o.scopes for o in every}
    tokens = {
        scopes: token_of(server, register(sessions, *scopes, purposes=PURPOSES))
        for scopes in sorted(sets, key=sorted)
    }
    refused = [
        Call(operation, bearer(tokens[without[scope]]))
        for operation in every
        for scope in sorted(operation.scopes)
    ]
    allowed = [Call(operation, bearer(tokens[operation.scopes])) for operation in every]
    if whole:
        refused += [
            Call(operation, bearer(tokens[scopes]))
            for operation in every
            for scopes in single | parts
            if not operation.scopes <= scopes
        ]
        assert len(refused) > len(every) * (len(clients.SCOPES) - 1)

    replies = answers(app, refused)
    assert wrong(refused, replies, 403, "insufficient-scope") == []
    for call, reply in zip(refused, replies, strict=True):
        challenge = reply.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_scope"'), call.operation
    closed = [
        f"{call.operation}: {reply.status} {reply.body[:200]!r}"
        for call, reply in zip(allowed, answers(app, allowed), strict=True)
        if reply.status in (401, 403) or reply.status == 500
    ]
    assert closed == []


def test_no_operation_opens_to_credentials_that_are_none(
    server: TestClient,
    app: FastAPI,
    every: list[Operation],
    sessions: Sessions,
    whole: bool,
    record_property: Any,
) -> None:
    """Every one of them on every operation, or, on everyday, none and one more on each."""
    powerful = register(sessions, *clients.SCOPES, purposes=PURPOSES)
    token = token_of(server, powerful)
    forge = Forge(our_key(sessions), part(token, 1))
    assert answers(app, [Call(every[1], bearer(forge.sign()))])[0].status not in (401, 403)
    typed = {"alg": "ES256", "typ": "at+jwt", "kid": forge.key.kid}
    tokens = {
        "expired": forge.sign(exp=1),
        "another audience": forge.sign(aud="https://elsewhere.example"),
        "another issuer": forge.sign(iss="https://elsewhere.example"),
        "without typ": forge.sign(header={k: v for k, v in typed.items() if k != "typ"}),
        "typ JWT": forge.sign(header={**typed, "typ": "JWT"}),
        "alg none": f"{segment({**typed, 'alg': 'none'})}.{segment(forge.good)}.",
        "another key": forge.sign(key=type(forge.key).generate_key("P-256")),
        "revoked": _revoked(server, powerful),
        "of a client that was removed": _removed(server, sessions),
        "none": "x",
    }
    bad: dict[str, dict[str, str]] = {what: bearer(text) for what, text in tokens.items()}
    bad["no credentials"] = {}
    bad["the secret of a client"] = _basic(powerful.id, powerful.secret)
    bad["a token of another scheme"] = {"authorization": f"Token {token}"}
    bad["an unknown write key"] = _basic("wk_unknown", "")
    kinds = list(bad.values())
    calls = [
        Call(operation, kind if whole else kinds[(n + turn) % len(kinds)])
        for n, operation in enumerate(every)
        for turn, kind in enumerate(kinds if whole else kinds[:1])
    ]
    calls += [Call(operation, {}) for operation in every]
    calls += [
        Call(o, {}, f"{o.address()}?access_token={token}") for o in every[:: 1 if whole else 9]
    ]
    # Who records consents may do so with a write key, and hears that this is none.
    left = [call for call in calls if str(call.operation) != "POST /v1/consents"]
    replies = answers(app, left)
    assert wrong(left, replies, 401, "invalid-token") == []
    assert [r for r in replies if not r.headers["www-authenticate"].startswith("Bearer ")] == []
    by_key = [call for call in calls if str(call.operation) == "POST /v1/consents"]
    assert {reply.status for reply in answers(app, by_key)} == {401}
    record_property("calls", len(calls))


def test_81_a_write_key_reads_nothing(app: FastAPI, every: list[Operation], write_key: str) -> None:
    for headers in (_basic(write_key, ""), bearer(write_key)):
        calls = [Call(o, headers) for o in every if str(o) != "POST /v1/consents"]
        assert wrong(calls, answers(app, calls), 403, "write-key-not-enough") == []


def test_exactly_the_purposes_of_a_client_are_answered_for(
    server: TestClient, app: FastAPI, every: list[Operation], sessions: Sessions, whole: bool
) -> None:
    """A purpose is stated in the address or in the body, or is that of the segment asked for."""
    admin = token_of(server, register(sessions, *clients.SCOPES, purposes=PURPOSES))
    _a_person_a_journey_and_segments(server, admin, every)
    asked = [o for o in every if o.purposes and not ELSEWHERE.search(o.path)]
    assert len(asked) > 15
    refused, answered = [], []
    for n, mine in enumerate(PURPOSES):
        token = token_of(server, register(sessions, *clients.SCOPES, purposes=(mine,)))
        for operation in asked:
            others = [p for p in PURPOSES if p != mine] if whole else [PURPOSES[n - 1]]
            refused += [_stating(operation, stated, token) for stated in others]
            # What is computed takes long to answer: that it is, once is enough.
            if n == 0 or (whole and not operation.path.startswith("/v1/analyses/")):
                answered.append(_stating(operation, mine, token))
    assert sorted(set(wrong(refused, answers(app, refused), 403, "purpose-not-allowed"))) == []
    closed = [
        f"{call.operation} {call.address}: {reply.status} {reply.body[:200]!r}"
        for call, reply in zip(answered, answers(app, answered), strict=True)
        if reply.status in (401, 403, 500)
    ]
    assert closed == []

    token = token_of(server, register(sessions, *clients.SCOPES))
    unstated = [
        Call(o, bearer(token), o.address(ref="user_id:u-1"))
        for o in asked
        if o.method == "GET" and o.path.startswith("/v1/profiles")
    ]
    assert wrong(unstated, answers(app, unstated), 400, "purpose-required") == []


def _basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def _revoked(server: TestClient, client: Known) -> str:
    token = token_of(server, client)
    assert server.post("/oauth/revoke", data={"token": token}, auth=client.basic).status_code == 200
    return token


def _removed(server: TestClient, sessions: Sessions) -> str:
    gone = register(sessions, *clients.SCOPES)
    token = token_of(server, gone)
    with sessions.begin() as session:
        clients.remove(session, gone.id)
    return token


def _a_person_a_journey_and_segments(
    server: TestClient, token: str, every: list[Operation]
) -> None:
    """Make who and what is asked for: a segment for each purpose."""
    consent = {
        "subject": {"namespace": "user_id", "value": "u-1"},
        "decisions": [{"purpose": "analytics.audience", "state": "given"}],
    }
    assert server.post("/v1/consents", json=consent, headers=bearer(token)).status_code == 200
    journey = next(o.example for o in every if str(o) == "POST /v1/journeys")
    made = server.post("/v1/journeys", json=journey, headers=bearer(token))
    assert made.status_code == 201, made.text
    for key, purpose in ((_key(p) + end, p) for p in PURPOSES for end in ("", "-2")):
        rule = {"trait": "a", "op": "exists"}
        wanted = {"key": key, "name": purpose, "purpose": purpose, "rule": rule}
        made = server.post("/v1/segments", json=wanted, headers=bearer(token))
        # They are there already where the short form of this test ran before the whole one.
        assert made.status_code in (201, 409), made.text


def _key(purpose: str) -> str:
    return purpose.replace(".", "-")


def _stating(operation: Operation, purpose: str, token: str) -> Call:
    """Ask as the document's examples do, for a purpose."""
    query: dict[str, Any] = dict(operation.query)
    body = dict(operation.example)
    if operation.by_query:
        query["purpose"] = purpose
    elif operation.path == "/v1/consents/simulate":
        body["examples_for"] = purpose
    else:
        body["purpose"] = purpose
    if operation.path == "/v1/segments/overlap":
        query["segment"] = [_key(purpose), f"{_key(purpose)}-2"]
    address = operation.address(ref="user_id:u-1", key=_key(purpose), space=purpose)
    return Call(operation, bearer(token), f"{address}?{urlencode(query, doseq=True)}", body)
