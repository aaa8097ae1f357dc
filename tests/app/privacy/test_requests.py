"""Requests over the API: packages, identity checks, duplicates (research/consent.md section 3)."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.access import sources
from app.consents.permission import permissions
from app.db import Sessions
from app.imports import files, load, messages
from app.privacy import run
from consent import restrictions
from identity import people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import SENT, ada, bob

Token = Callable[..., dict[str, str]]
#: One for each place in which something of Ada can stand.
MARKERS = (
    "marker-trait", "marker-property", "marker-context", "marker-rejected", "marker-held",
    "marker-segment", "marker-recipient", "marker-evidence", "marker-group",
)  # fmt: skip


def package(world: World, kind: str, *subject: str) -> dict[str, bytes]:
    shown = world.ask(kind, *subject)
    [made] = shown["packages"]
    path = world.settings.home / "packages" / f"{made['id']}.zip"
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def seed(world: World) -> None:
    """Put a marker into every store."""
    with world.sessions.begin() as session:
        holds = sources.add(
            session, "holds", collection_purpose="content.personalised", pending_seconds=3600
        )[1]
    world.send(
        {"type": "identify", "userId": "ada-1815", "anonymousId": "anon-ada-77", "context": GIVEN,
         "traits": {"email": SENT, "note": "marker-trait"}},
        {"type": "track", "userId": "ada-1815", "event": "Bought",
         "properties": {"what": "marker-property"},
         "context": {**GIVEN, "page": {"path": "marker-context"}}},
        {"type": "group", "userId": "ada-1815", "groupId": "marker-group", "context": GIVEN},
    )  # fmt: skip
    for event, key in (
        (
            {"userId": "ada-1815", "type": "track", "properties": {"x": "marker-rejected"}},
            world.key,
        ),
        ({"userId": "ada-1815", "type": "track", "event": "marker-held"}, holds),
    ):
        world.server.post("/v1/batch", json={"batch": [event], "writeKey": key})
    with world.sessions.begin() as session:
        person = people.find(session, "user_id", "ada-1815")
        for statement in (
            "INSERT INTO app.segment (key, name, purpose, rule) VALUES ('marker-segment', 'S',"
            " 'marketing.email', '{\"event\": \"Bought\"}')",
            "INSERT INTO app.segment_member (segment_id, person_id, entered_at)"
            " SELECT id, :person, now() FROM app.segment",
            "INSERT INTO app.destination (name, kind, url, secret, purpose, segments, enabled)"
            " VALUES ('marker-recipient', 'webhook', 'http://x/', 's', 'marketing.email', '{}',"
            " true)",
            "INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type,"
            " payload, state, attempts, sent, due_at, created_at, ended_at)"
            " SELECT d.id, gen_random_uuid(), i.id, i.profile_id, 'segment.entered',"
            " '{\"segment\": \"marker-segment\"}', 'delivered', 1, true, now(), now(),"
            " '2027-01-02T03:04:05Z' FROM app.destination d, identity.identifier i"
            " WHERE i.id = :person",
        ):
            session.execute(
                sa.text(statement), {"person": person} if ":person" in statement else {}
            )
    basic = {"subject": {"namespace": "user_id", "value": "ada-1815"},
             "decisions": [{"purpose": "ads.share", "state": "refused"}],
             "evidence": {"where": "marker-evidence"}}  # fmt: skip
    answer = world.server.post("/v1/consents", json=basic, auth=(world.key, ""))
    assert answer.status_code == 200, answer.text
    world.settle()


def test_69_an_access_package_holds_every_store_and_nobody_else(world: World) -> None:
    seed(world)
    bob(world)
    with world.sessions.begin() as session:  # a reviewer took the two for one
        left = people.find_identifier(session, "user_id", "ada-1815")
        right = people.find_identifier(session, "user_id", "bob-7")
        assert left is not None
        assert right is not None
        people.must_link(session, left, right, by="test", at=datetime.now(UTC))

    content = package(world, "access", "user_id:ada-1815")

    data = content["data.json"].decode()
    assert [one for one in MARKERS if one not in data] == []
    everything = b"".join(content.values()).decode()
    assert "bob" not in everything.lower()
    assert json.loads(content["explain.json"])["others_possibly_the_same_person"] >= 1
    rows = list(csv.DictReader(io.StringIO(content["recipients.csv"].decode())))
    assert [(r["recipient"], r["at"]) for r in rows] == [
        ("marker-recipient", "2027-01-02T03:04:05+00:00")
    ]
    page = content["index.html"].decode()
    assert [one for one in MARKERS if one not in page] == []
    manifest = json.loads(content["manifest.json"])
    assert manifest["files"].keys() == content.keys() - {"manifest.json"}


def test_69_the_page_is_text_whatever_was_sent(world: World) -> None:
    world.send(
        {"type": "identify", "userId": "ada-1815", "context": GIVEN,
         "traits": {"<b>k": "<script>alert(1)</script>", "note": "=1+1"}}
    )  # fmt: skip
    content = package(world, "access", "user_id:ada-1815")
    page = content["index.html"].decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page


def test_70_a_portability_package_is_imported_and_says_the_same(
    world: World, sessions: Sessions, tmp_path: Path
) -> None:
    seed(world)
    content = package(world, "portability", "user_id:ada-1815")
    assert b"marker-segment" not in content["events.ndjson"]
    file = tmp_path / "events.ndjson"
    file.write_bytes(content["events.ndjson"])
    columns = (
        "SELECT e.type, e.name, e.user_id, e.anonymous_id, e.occurred_at, "
        "CAST(e.properties AS jsonb) AS p, CAST(e.context AS jsonb) AS c, "
        "CAST(e.rest AS jsonb) AS r "
        "FROM app.event e JOIN app.source s ON s.id = e.source_id WHERE s.name = :source "
        "ORDER BY e.occurred_at, e.id"
    )
    with sessions.begin() as session:
        made = sources.settings_of(sources.add(session, "elsewhere")[0])
    report = load.load(
        sessions, made, messages.Events(files.rows(file), file=file.name), evidence="a test"
    )
    assert (report.accepted, report.rejected) == (3, {})
    with sessions() as session:
        before, after = (
            session.execute(sa.text(columns), {"source": name}).all()
            for name in ("web", "elsewhere")
        )
    assert [tuple(row) for row in after] == [tuple(row) for row in before]


@pytest.fixture
def officer(token: Token) -> dict[str, str]:
    return token("privacy:read", "privacy:process")


def asked(world: World, officer: dict[str, str], *identifiers: str, **more: Any) -> dict[str, Any]:
    answer = world.server.post(
        "/v1/privacy/requests",
        json={"kind": "access", "identifiers": list(identifiers), **more},
        headers=officer,
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_78_a_failed_check_tells_nothing_and_is_limited(
    world: World, officer: dict[str, str]
) -> None:
    ada(world)
    answers = []
    for email in ("email:ada.lovelace@gmail.com", "email:nobody@example.org"):
        made = asked(world, officer, email)
        path = f"/v1/privacy/requests/{made['id']}/checks"
        body = {"identifier": email}
        issued = world.server.post(path, json=body, headers=officer)
        assert len(issued.json()["secret"]) == 8
        wrong = [
            world.server.post(f"{path}/confirm", json={**body, "secret": "0"}, headers=officer)
            for _ in range(7)
        ]
        right = world.server.post(
            f"{path}/confirm", json={**body, "secret": issued.json()["secret"]}, headers=officer
        )
        assert right.status_code == 403  # too many tries: the secret is void
        more = [world.server.post(path, json=body, headers=officer) for _ in range(5)]
        assert [one.status_code for one in more] == [201] * 4 + [409]
        shown = world.server.get(f"/v1/privacy/requests/{made['id']}", headers=officer).json()
        assert shown["state"] == "awaiting_identity"
        hidden = {"request_id", "instance"}
        answers.append(
            (
                {
                    k: v
                    for k, v in made.items()
                    if k not in ("id", "due_at", "events", "received_at")
                },
                [{k: v for k, v in one.json().items() if k not in hidden} for one in wrong],
                [one.status_code for one in wrong],
            )
        )
    assert answers[0] == answers[1]
    assert set(answers[0][2]) == {403}
    run.round_(world.sessions, world.settings)
    assert not (world.settings.home / "packages").exists() or not list(
        (world.settings.home / "packages").iterdir()
    )


def test_78_who_controls_the_identifier_gets_the_package_by_a_link_that_ends(
    world: World, officer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada(world)
    email = "email:ada.lovelace@gmail.com"
    made = asked(world, officer, email)
    path = f"/v1/privacy/requests/{made['id']}"
    body = {"identifier": email, "way": "link"}
    secret = world.server.post(f"{path}/checks", json=body, headers=officer).json()["secret"]
    confirmed = world.server.post(
        f"{path}/checks/confirm", json={"identifier": email, "secret": secret}, headers=officer
    )
    assert confirmed.json() == {"confirmed": True}
    again = world.server.post(
        f"{path}/checks/confirm", json={"identifier": email, "secret": secret}, headers=officer
    )
    assert again.status_code == 403
    run.round_(world.sessions, world.settings)
    [made] = world.server.get(path, headers=officer).json()["packages"]
    place = f"/v1/privacy/packages/{made['id']}"
    assert world.server.get(place).status_code == 404
    assert world.server.get(place, headers=officer).status_code == 404
    link = world.server.post(f"{place}/token", headers=officer).json()
    fetched = world.server.get(link["url"])
    assert fetched.status_code == 200
    with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
        assert b"adalovelace@gmail.com" in archive.read("data.json")
    for spoilt in (link["url"][:-1], link["url"].replace("token=", "token=9"), f"{place}?token=x"):
        assert world.server.get(spoilt).status_code == 404


def test_a_second_open_request_is_a_duplicate_also_in_another_spelling(
    world: World, officer: dict[str, str]
) -> None:
    first = asked(world, officer, "email:ada.lovelace@gmail.com")
    second = asked(world, officer, "email:Ada.Lovelace+x@googlemail.com")
    assert (second["state"], second["duplicate_of"]) == ("duplicate_of", first["id"])
    other = asked(world, officer, "email:ada.lovelace@gmail.com", kind="portability")
    assert other["state"] == "awaiting_identity"


def test_an_access_of_nobody_is_no_match(world: World) -> None:
    shown = world.ask("access", "user_id:nobody")
    assert (shown["state"], shown["packages"]) == ("no_match", [])


def test_a_request_that_has_ended_holds_nothing_of_the_person(
    world: World, officer: dict[str, str]
) -> None:
    made = asked(world, officer, "email:grace@example.org")
    assert "app.privacy_request" in world.where("grace@example.org")
    path = f"/v1/privacy/requests/{made['id']}/end"
    refused = world.server.post(path, json={"state": "refused"}, headers=officer)
    assert refused.status_code == 422
    ended = world.server.post(
        path, json={"state": "refused", "reason": "excessive"}, headers=officer
    )
    assert ended.json()["state"] == "refused"
    assert world.where("grace@example.org") == set()
    assert world.server.post(path, json={"state": "closed"}, headers=officer).status_code == 409


@pytest.mark.parametrize(
    ("kind", "details", "denied"),
    [
        ("restriction", {}, {"marketing.email", "analytics.audience"}),
        ("objection", {"purpose": "marketing"}, {"marketing.email"}),
        ("withdraw_all", {}, {"marketing.email", "analytics.audience"}),
    ],
)
def test_what_a_person_demands_holds_for_every_decision(
    world: World, kind: str, details: dict[str, Any], denied: set[str]
) -> None:
    ada(world)

    def allowed() -> set[str]:
        with world.sessions() as session:
            person = people.find(session, "user_id", "ada-1815")
            assert person is not None
            return {
                purpose
                for purpose in ("marketing.email", "analytics.audience", "service.operation")
                if all(p.allowed for p in permissions(session, purpose, [person]))
            }

    assert denied <= allowed()
    shown = world.ask(kind, "user_id:ada-1815", details=details)
    assert shown["state"] == "closed"
    assert not denied & allowed()
    with world.sessions.begin() as session:
        lifted = restrictions.lift(session, f"request:{shown['id']}", at=datetime.now(UTC))
    assert (lifted > 0) == (kind != "withdraw_all")
    if lifted:
        assert denied <= allowed()


def test_a_reviewer_sees_who_may_be_the_same_person(world: World, officer: dict[str, str]) -> None:
    ada(world)
    bob(world)
    with world.sessions.begin() as session:
        left = people.find_identifier(session, "user_id", "ada-1815")
        right = people.find_identifier(session, "user_id", "bob-7")
        assert left is not None
        assert right is not None
        people.must_link(session, left, right, by="test", at=datetime.now(UTC))
    made = asked(world, officer, "user_id:ada-1815")
    path = f"/v1/privacy/requests/{made['id']}/others"
    found = world.server.get(path, headers=officer).json()["data"]
    assert {one["identifier"] for one in found} == {"user_id:bob-7", "email:bob@example.org"}
    assert {one["kind"] for one in found} == {"manual", None}
