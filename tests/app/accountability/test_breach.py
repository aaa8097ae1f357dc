"""Whom a breach concerns, and its clock (research/consent.md section 3, check 88)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from api.cli import root
from app import pipeline
from app.access import clients, sources
from app.db import Sessions

BASE = "/v1/privacy/breaches"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def world(server: TestClient, sessions: Sessions) -> tuple[str, str]:
    """Three people by one source, one of them a child, one by another; return two client ids."""
    with sessions.begin() as session:
        web, shop = sources.add(session, "web")[1], sources.add(session, "shop")[1]
        reader, _ = clients.add(
            session, "crm", scopes=["profiles:read"], purposes=["marketing.email"]
        )
        writer, _ = clients.add(session, "w", scopes=["events:write"], purposes=["marketing.email"])
        ids = reader.client_id, writer.client_id
    agreed = {"consent": {"categoryPreferences": {"marketing.email": True}}}
    for key, who, context in ((web, "ada", agreed), (web, "bob", {}), (web, "kim", {}),
                              (shop, "eve", {})):  # fmt: skip
        body = {"userId": who, "traits": {"email": f"{who}@example.org", "city": "Lyon"},
                "context": context, "writeKey": key}  # fmt: skip
        assert server.post("/v1/identify", json=body).json()["accepted"] == 1
    while True:
        with sessions.begin() as session:
            if pipeline.step(session).idle:
                return ids


def test_88_a_leaked_key_is_counted_told_within_72_hours_and_documented(
    server: TestClient, sessions: Sessions, token: Callable[..., dict[str, str]]
) -> None:
    reader, writer = world(server, sessions)
    officer = token("privacy:read", "privacy:process", "profiles:read", "consents:write",
                    purposes=("marketing.email", "service.operation"))  # fmt: skip
    server.put("/v1/ages", json={"subject": "user_id:kim", "band": "child"}, headers=officer)
    when = {"since": (NOW - HOUR).isoformat(), "until": (NOW + HOUR).isoformat()}

    def opened(status: int = 201, *, hours_ago: float = 2, **scope: Any) -> dict[str, Any]:
        body = {"noticed_at": (NOW - hours_ago * HOUR).isoformat(),
                "scope": {**when, **scope}, "told": {"nature": "a key was published"}}  # fmt: skip
        answer = server.post(BASE, json=body, headers=officer)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    made = opened(sources=["web"])
    known = made["assessment"]
    assert (known["people"], known["events"]) == (3, 3)
    assert known["identifiers"] == {"email": 3, "user_id": 3}
    assert known["traits"] == {"city": 3, "email": 3}
    assert known["known_to_be_young"] == {"child": 1}
    assert known["purposes"] == ["service.operation"]
    assert made["hours_left"] == pytest.approx(70, abs=1)  # of a suite that takes its time
    assert opened(stores=["database"])["assessment"]["people"] == 4
    assert opened(stores=["profiles"])["assessment"]["people"] == 4
    assert opened(stores=["consents"])["assessment"]["people"] == 1
    assert opened(clients=[reader])["assessment"]["people"] == 1  # who allows marketing
    assert opened(clients=[writer])["assessment"]["people"] == 0  # it cannot read
    early: dict[str, Any] = {
        "since": (NOW - 9 * HOUR).isoformat(),
        "until": (NOW - 8 * HOUR).isoformat(),
    }
    assert opened(sources=["web"], **early)["assessment"]["people"] == 0
    opened(404, sources=["no"])
    opened(404, destinations=["no"])
    opened(404, clients=["no"])
    opened(422)
    opened(422, sources=["web"], hours_ago=-1)

    one = f"{BASE}/{made['id']}"
    draft = server.get(f"{one}/draft", headers=officer)
    assert "a key was published" in draft.text
    assert "about 3, of whom at least 1 are under 18" in draft.text
    assert "**[to be written]**" in draft.text
    told = {"nature": "a key was published", "consequences": "spam", "measures": "rotated"}
    again = server.post(f"{one}/assessment", json={"told": told}, headers=officer).json()
    assert again["told"] == told
    letter = server.get(f"{one}/draft", params={"to": "people"}, headers=officer).text
    assert "rotated" in letter
    assert "[to be written]" not in letter.partition("Ask us")[0]

    asked = {"purpose": "marketing.email"}
    listed = server.get(f"{one}/people", params=asked, headers=officer).json()
    [ada] = listed["people"]
    assert ada["identifiers"] == ["email:ada@example.org", "user_id:ada"]
    assert sum(listed["withheld"].values()) == 2
    assert server.get(f"{one}/people", headers=officer).status_code == 400
    asked = {"purpose": "ads.share"}
    assert server.get(f"{one}/people", params=asked, headers=officer).status_code == 403

    def step(where: str, what: str, reason: str = "") -> int:
        body = {"what": what, "reason": reason}
        return server.post(f"{where}/steps", json=body, headers=officer).status_code

    assert step(one, "closed") == 409  # nobody was told
    assert step(one, "authority_notified") == 200
    assert step(one, "closed") == 200
    assert step(one, "people_notified") == 409
    late = f"{BASE}/{opened(sources=['web'], hours_ago=73)['id']}"
    assert server.get(late, headers=officer).json()["hours_left"] < 0
    assert step(late, "authority_notified") == 422  # later than 72 hours, without a reason
    assert step(late, "authority_notified", "found by a forensic analysis") == 200
    harmless = f"{BASE}/{opened(sources=['web'])['id']}"
    assert (step(harmless, "not_notified"), step(harmless, "not_notified", "encrypted")) == (
        422, 200,
    )  # fmt: skip
    assert step(f"{BASE}/x", "closed") == 404
    shown = server.get(one, headers=officer).json()
    assert [e["what"] for e in shown["events"]] == [
        "opened", "assessed", "authority_notified", "closed",
    ]  # fmt: skip
    assert not {"ada", "bob", "kim"} & set(json.dumps(shown).replace('"', " ").split())
    with sessions() as session:
        stated = session.scalars(
            sa.text(
                "SELECT public ->> 'what' FROM consent.ledger_statement "
                "WHERE public ->> 'breach' = :id ORDER BY id"
            ),
            {"id": made["id"]},
        ).all()
    assert list(stated) == [e["what"] for e in shown["events"]]
    with sessions.begin() as session, pytest.raises(DBAPIError):
        session.execute(sa.text("DELETE FROM app.breach_event"))


def test_a_breach_is_opened_drafted_and_closed_by_command(
    database_url: str, write_key: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", database_url)
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(tmp_path))

    def cli(*arguments: str) -> str:
        done = CliRunner().invoke(root.app, ["privacy", "breach", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    made = json.loads(
        cli("open", "--nature", "a laptop was lost", "--since", "2026-11-01T00:00:00Z",
            "--until", "2026-11-02T00:00:00Z", "--source", "web", "--json")
    )  # fmt: skip
    assert made["assessment"]["people"] == 0
    assert "a laptop was lost" in cli("draft", made["id"])
    assert json.loads(cli("people", made["id"], "--purpose", "service.operation"))["people"] == []
    assert json.loads(cli("assess", made["id"]))["events"][-1]["what"] == "assessed"
    cli("note", made["id"], "authority_notified")
    cli("note", made["id"], "closed")
    assert json.loads(cli("show", made["id"]))["closed_at"]
    assert len(json.loads(cli("list", "--json"))) == 1
    bad = ("open", "--nature", "x", "--since", "now", "--until", "later", "--source", "web")
    assert CliRunner().invoke(root.app, ["privacy", "breach", *bad]).exit_code != 0
