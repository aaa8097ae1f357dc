"""Roles: each opens what its office needs; administrators read nobody, auditors no profile."""

import re
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import pipeline
from app.access import clients, roles, sources
from app.db import Sessions
from app.errors import DefinitionInvalid
from consent.defaults import CATALOGUE
from tests.api.line import Line
from tests.api.oauth.operations import Call, answers, taking_tokens
from tests.api.oauth.wire import register, token_of

PURPOSES = tuple(purpose.key for purpose in CATALOGUE)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.long)], ids=["", "whole"])
def asked(request: pytest.FixtureRequest) -> list[str]:
    """The roles to ask for: all of them, or those of which something is promised."""
    return list(roles.ROLES) if request.param else ["administrator", "auditor"]


def test_exactly_the_operations_of_a_role_open_to_it(
    server: TestClient, sessions: Sessions, asked: list[str]
) -> None:
    app = cast(FastAPI, server.app)
    every = list(taking_tokens(app.openapi()))
    calls = []
    for role in asked:
        token = token_of(server, register(sessions, *roles.scopes([role]), purposes=PURPOSES))
        calls += [(role, Call(operation, bearer(token))) for operation in every]
    replies = answers(app, [call for _, call in calls])
    wrong = [
        f"{role}: {call.operation}: {reply.status} {reply.code}"
        for (role, call), reply in zip(calls, replies, strict=True)
        if (reply.code == "insufficient-scope")
        == (call.operation.scopes <= set(roles.scopes([role])))
    ]
    assert wrong == []


def test_84_an_administrator_reads_nobody_and_an_auditor_verifies_and_reads_no_profile(
    server: TestClient, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        key = sources.add(session, "roles")[1]
    everything = {"consent": {"categoryPreferences": dict.fromkeys(PURPOSES, True)}}
    event = {"userId": "marker-id", "traits": {"city": "marker-trait"}, "writeKey": key}
    sent = server.post("/v1/identify", json={**event, "context": everything})
    assert sent.json()["accepted"] == 1
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle
    app = cast(FastAPI, server.app)
    every = [o for o in taking_tokens(app.openapi()) if o.method == "GET"]

    def told(*scopes: str) -> tuple[set[str], str]:
        header = bearer(token_of(server, register(sessions, *scopes, purposes=PURPOSES)))
        calls = []
        for operation in every:
            query = "&".join(f"{name}=user_id:marker-id" for name in operation.query)
            address = operation.address(ref="user_id:marker-id")
            calls.append(Call(operation, header, f"{address}?purpose=service.operation&{query}"))
        replies = answers(app, calls)
        opened = {str(c.operation) for c, r in zip(calls, replies, strict=True) if r.status == 200}
        return opened, b"".join(reply.body for reply in replies).decode()

    opened, text = told(*clients.SCOPES)
    assert "marker-trait" in text, "or the markers below prove nothing"

    opened, text = told(*roles.ROLES["administrator"])
    assert "marker" not in re.sub(r'"(instance|detail|message)": ?"[^"]*"', "", text)
    opened, text = told(*roles.ROLES["auditor"])
    assert "marker-trait" not in text
    assert {o for o in opened if o.startswith("GET /v1/profiles")} <= {
        "GET /v1/profiles/{ref}/consents"
    }
    assert {"GET /v1/ledger/checkpoints", "GET /v1/ledger/entries", "GET /v1/reads"} <= opened


def test_a_role_is_written_out_as_scopes_and_the_manual_names_them(
    tmp_path: Path, database_url: str, server: TestClient
) -> None:
    line = Line("client", tmp_path, database_url)
    made = line.json("add", "desk", "--role", "analyst", "--scope", "audit:read")
    listed = {one["client_id"]: one for one in line.json("list")}
    assert set(listed[made["client_id"]]["scopes"]) == {*roles.ROLES["analyst"], "audit:read"}
    with pytest.raises(DefinitionInvalid, match="did you mean 'auditor'"):
        line("add", "desk", "--role", "auditer")
    with pytest.raises(DefinitionInvalid, match="at least one scope"):
        line("add", "desk")
    rows: dict[str, Any] = {one["role"]: one["scopes"] for one in line.json("roles")}
    for role, scopes in rows.items():
        [row] = [text for text in PAGE.read_text("utf-8").splitlines() if f"| `{role}` |" in text]
        assert re.findall(r"`([a-z]+:[a-z]+)`", row) == scopes
        assert set(scopes) <= set(clients.SCOPES) - {"proof:open"}
