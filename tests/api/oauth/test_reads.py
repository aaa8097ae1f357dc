"""Who read whom for what: noted before it is answered, and shown to officers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import pipeline
from app.access import clients, reads, sources
from app.access.tables import PersonRead
from app.db import Sessions
from tests.api.line import Line
from tests.api.oauth.operations import Call, answers, taking_tokens
from tests.api.oauth.wire import Known, register, token_of

PURPOSE = "analytics.audience"
EVERYBODY = {"ada", "bob", "eve"}
Header = dict[str, str]
#: What is told of people, and of whom; `u` is ada's, `s` the segment's.
TOLD: dict[str, set[str]] = {
    "GET /v1/profiles": EVERYBODY,
    "GET /v1/profiles/{ref}": {"ada"},
    "GET /v1/profiles/{ref}/traits": {"ada"},
    "GET /v1/profiles/{ref}/computed": {"ada"},
    "GET /v1/profiles/{ref}/identifiers": {"ada"},
    "GET /v1/profiles/{ref}/events": {"ada"},
    "GET /v1/profiles/{ref}/segments": {"ada"},
    "GET /v1/profiles/{ref}/journeys": {"ada"},
    "GET /v1/profiles/{ref}/consents": {"ada"},
    "GET /v1/profiles/{ref}/merges": {"ada"},
    "GET /v1/profiles/{ref}/explain": {"ada"},
    "GET /v1/consents": {"ada"},
    "GET /v1/consents/decision": {"ada"},
    "GET /v1/consents/denied-uses": {"ada"},
    "GET /v1/consents/restrictions": {"ada"},
    "GET /v1/consents/sends": {"ada"},
    "GET /v1/segments/{key}/members": EVERYBODY,
    "GET /v1/segments/{key}/history": EVERYBODY,
    "GET /v1/segments/{key}/explain/{ref}": {"ada"},
    "GET /v1/changes": EVERYBODY,
    "GET /v1/identity/links": {"ada"},
    "GET /v1/reads": {"ada"},
}


@pytest.fixture(scope="module")
def crm(sessions: Sessions) -> Known:
    return register(sessions, *clients.SCOPES, purposes=(PURPOSE, "marketing.email"))


@pytest.fixture(scope="module")
def header(server: TestClient, crm: Known) -> Header:
    return {"Authorization": f"Bearer {token_of(server, crm)}"}


@pytest.fixture(scope="module")
def ids(server: TestClient, sessions: Sessions, header: Header) -> dict[str, int]:
    """Three people whose audience may be measured, in a segment, by their identifiers."""
    with sessions.begin() as session:
        key = sources.add(session, "shop")[1]
    agreed = {"consent": {"categoryPreferences": {PURPOSE: True}}}
    for user in sorted(EVERYBODY):
        event = {"userId": user, "traits": {"city": "Lyon"}, "context": agreed, "writeKey": key}
        assert server.post("/v1/identify", json=event).json()["accepted"] == 1
    step(sessions)
    rule = {"trait": "city", "op": "eq", "value": "Lyon"}
    segment = {"key": "lyon", "name": "Lyon", "purpose": PURPOSE, "rule": rule}
    assert server.post("/v1/segments", json=segment, headers=header).status_code == 201
    with sessions() as session:
        rows = session.execute(sa.text("SELECT value, id FROM identity.identifier"))
        return {row.value: row.id for row in rows}


def step(sessions: Sessions) -> None:
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


@contextmanager
def noted(sessions: Sessions) -> Iterator[list[PersonRead]]:
    """Yield a list that holds, after the block, what was noted in it."""
    new: list[PersonRead] = []
    with sessions() as session:
        before = session.scalar(sa.select(sa.func.max(PersonRead.id))) or 0
    yield new
    with sessions() as session:
        query = sa.select(PersonRead).where(PersonRead.id > before).order_by(PersonRead.id)
        new.extend(session.scalars(query))


@pytest.mark.parametrize("operation", TOLD)
def test_what_is_told_of_people_is_noted_with_whom(
    server: TestClient,
    sessions: Sessions,
    crm: Known,
    header: Header,
    ids: dict[str, int],
    operation: str,
) -> None:
    """In one note for each request, of however many people."""
    known = {str(one): one for one in taking_tokens(cast(FastAPI, server.app).openapi())}
    query = {"subject": "user_id:ada"} if "{ref}" not in operation else {}
    if known[operation].by_query:
        query["purpose"] = PURPOSE
    address = known[operation].address(ref="user_id:ada", key="lyon")
    with noted(sessions) as new:
        answer = server.get(address, params=query, headers=header)
        assert answer.status_code == 200, answer.text
    [row] = new
    assert (row.client_id, row.operation) == (crm.id, operation)
    assert row.identifier_ids == sorted(ids[who] for who in TOLD[operation])
    if "/v1/profiles/{ref}" == operation or "segments" in operation:
        assert row.purpose == PURPOSE


def test_what_names_nobody_and_what_is_refused_is_not_noted(
    server: TestClient, sessions: Sessions, header: Header, ids: dict[str, int]
) -> None:
    with noted(sessions) as new:
        assert server.get("/v1/segments", headers=header).status_code == 200
        assert server.get("/v1/purposes", headers=header).status_code == 200
        for address, status in (
            ("/v1/profiles/user_id:nobody?purpose=" + PURPOSE, 404),
            ("/v1/profiles/user_id:ada?purpose=ads.share", 403),
            ("/v1/profiles/user_id:ada", 400),
        ):
            assert server.get(address, headers=header).status_code == status
    assert new == []


def test_a_read_whose_data_are_withheld_is_a_read(
    server: TestClient, sessions: Sessions, header: Header, ids: dict[str, int]
) -> None:
    with noted(sessions) as new:
        address = "/v1/profiles/user_id:ada?purpose=marketing.email"
        assert server.get(address, headers=header).json()["traits"] == {}
    assert [(row.purpose, row.identifier_ids) for row in new] == [("marketing.email", [ids["ada"]])]


def test_what_cannot_be_noted_is_not_told(
    server: TestClient, sessions: Sessions, header: Header, ids: dict[str, int]
) -> None:
    def renamed(old: str, new: str) -> None:
        with sessions.begin() as session:
            session.execute(sa.text(f"ALTER TABLE app.{old} RENAME TO {new}"))

    renamed("person_read", "away")
    try:
        for address in (f"/v1/profiles/user_id:ada?purpose={PURPOSE}", "/v1/segments/lyon/members"):
            answer = server.get(address, headers=header)
            assert answer.status_code == 500
            assert "Lyon" not in answer.text
            assert "profile_id" not in answer.text
        assert server.get("/v1/segments", headers=header).status_code == 200
    finally:
        renamed("away", "person_read")


def test_officers_ask_for_a_person_a_client_a_purpose_and_a_time(
    server: TestClient, sessions: Sessions, header: Header, crm: Known, ids: dict[str, int]
) -> None:
    other = register(sessions, "segments:read", purposes=(PURPOSE,))
    theirs = {"Authorization": f"Bearer {token_of(server, other)}"}
    server.get("/v1/segments/lyon/members", headers=theirs)
    server.get("/v1/profiles/user_id:bob?purpose=marketing.email", headers=header)

    def asked(**query: Any) -> list[Any]:
        answer = server.get("/v1/reads", params=query, headers=header)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    [row] = asked(client_id=other.id)
    assert (row["client"], row["operation"], row["identifiers"]) == (
        "a test",
        "GET /v1/segments/{key}/members",
        3,
    )
    assert len(row["profile_ids"]) == 3
    [row] = asked(client_id=other.id, subject="user_id:bob")
    assert len(row["profile_ids"]) == 1, "of others that were read with bob nobody is told"
    assert {row["purpose"] for row in asked(purpose="marketing.email")} == {"marketing.email"}
    assert asked(operation="GET /v1/nothing") == []
    now = datetime.now(UTC)
    assert asked(since=(now + timedelta(hours=1)).isoformat()) == []
    assert asked(until=(now - timedelta(hours=1)).isoformat()) == []
    assert server.get("/v1/reads", headers=theirs).json()["code"] == "insufficient-scope"


def test_the_list_is_read_in_pages(server: TestClient, header: Header, ids: dict[str, int]) -> None:
    for _ in range(5):
        server.get(f"/v1/profiles/user_id:eve?purpose={PURPOSE}", headers=header)
    query: dict[str, Any] = {"operation": "GET /v1/profiles/{ref}", "limit": 2}
    seen, cursor = [], ""
    while cursor is not None:
        page = server.get("/v1/reads", params=query | {"cursor": cursor}, headers=header).json()
        seen += page["data"]
        cursor = page["next_cursor"]
    whole = server.get("/v1/reads", params=query | {"limit": 1000}, headers=header).json()["data"]
    assert seen == whole
    bad = server.get("/v1/reads", params={"cursor": "x"}, headers=header)
    assert bad.json()["code"] == "cursor-invalid"


def test_a_read_of_a_whole_person_is_of_all_identifiers_it_then_had(
    server: TestClient, sessions: Sessions, header: Header, ids: dict[str, int]
) -> None:
    """So that who is parted from the person later learns of it too."""
    with sessions.begin() as session:
        key = sources.add(session, "app")[1]
    event = {"userId": "joe", "anonymousId": "device", "writeKey": key}
    assert server.post("/v1/identify", json=event).status_code == 200
    step(sessions)
    with noted(sessions) as new:
        assert server.get("/v1/profiles/user_id:joe/consents", headers=header).status_code == 200
    with sessions() as session:
        person = sa.text(
            "SELECT identifier_id FROM identity.current_person WHERE person_id = (SELECT person_id "
            "FROM identity.current_person WHERE value = 'joe') ORDER BY 1"
        )
        whole = list(session.scalars(person))
    assert len(whole) >= 2
    assert new[0].identifier_ids == whole


def test_notes_are_forgotten_in_time(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for days in (1, 400):
            reads.begin(session, client_id="cl_x", operation="GET /old")
            reads.saw(session, [1], purpose="x")
            reads.write(session, at=datetime.now(UTC) - timedelta(days=days))
        assert not reads.forget(session, before=datetime.now(UTC) - timedelta(days=365))
        left = session.scalars(sa.select(PersonRead).where(PersonRead.operation == "GET /old"))
        assert len(left.all()) == 1


def test_jobs_and_commands_have_no_reader_and_note_nothing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        reads.saw(session, [1], purpose="x")
        reads.write(session, at=datetime.now(UTC))
        assert "reader" not in session.info


def test_the_command_lists_reads(
    server: TestClient, tmp_path: Path, database_url: str, header: Header, ids: dict[str, int]
) -> None:
    server.get(f"/v1/profiles/user_id:eve?purpose={PURPOSE}", headers=header)
    rows = Line("client", tmp_path, database_url).json("reads", "--subject", "user_id:eve")
    assert rows[0]["operation"] == "GET /v1/profiles/{ref}"
    assert len(rows[0]["profile_ids"]) == 1


#: Names people and is not noted here, and why.
NOT_NOTED: dict[str, str] = {
    "GET /v1/reads": "without a subject it lists notes, of whomever they are",
}


def test_whatever_answer_names_somebody_is_noted(
    server: TestClient, sessions: Sessions, header: Header, ids: dict[str, int]
) -> None:
    """Each operation of the OpenAPI document that reads, asked about ada as its examples ask."""
    app = cast(FastAPI, server.app)
    with sessions() as session:
        names = set(
            map(str, session.scalars(sa.text("SELECT profile_id FROM identity.identifier")))
        )
    silent, telling = [], set()
    for operation in taking_tokens(app.openapi()):
        if operation.method != "GET" and not operation.path.endswith(("/batch", "/preview")):
            continue
        query = dict.fromkeys(operation.query, "user_id:ada")
        if operation.by_query:
            query["purpose"] = PURPOSE
        address = operation.address(ref="user_id:ada", key="lyon", space=PURPOSE)
        body = {**operation.example, "purpose": PURPOSE, "profiles": ["user_id:ada"]}
        call = Call(operation, header, f"{address}?{urlencode(query)}", body)
        with noted(sessions) as new:
            [reply] = answers(app, [call])
        if any(name in reply.body.decode() for name in names):
            telling.add(str(operation))
            if [row.operation for row in new] != [str(operation)]:
                silent.append(str(operation))
    assert sorted(set(silent) - NOT_NOTED.keys()) == []
    assert len(telling) > 15
    assert telling >= {
        "GET /v1/profiles/{ref}",
        "GET /v1/changes",
        "GET /v1/segments/{key}/members",
    }
