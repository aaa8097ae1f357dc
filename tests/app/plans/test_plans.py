"""Tracking plans over HTTP and the command line: written, published, attached, changed, removed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.cli.root import app as command_line
from app.access import sources
from app.db import Sessions
from app.plans.in_force import Plans

RULE = {
    "type": "track",
    "event": "Order",
    "properties": {"required": ["id"], "properties": {"id": {"type": "string"}}},
}
DEFINITION: dict[str, Any] = {"mode": "reject", "rules": [RULE]}
Call = Callable[..., Any]


@pytest.fixture
def call(server: TestClient, token: Call) -> Call:
    """Call a route below /v1/tracking-plans as an administrator of sources."""
    header = token("sources:admin")

    def send(method: str, path: str = "", **request: Any) -> Any:
        request["headers"] = {**header, **request.get("headers", {})}
        return server.request(method, f"/v1/tracking-plans{path}", **request)

    return send


def create(call: Call, key: str = "shop", **definition: Any) -> Any:
    body = {"key": key, "title": "Shop", "definition": {**DEFINITION, **definition}}
    answer = call("POST", json=body)
    assert answer.status_code == 201, answer.text
    return answer


def test_a_draft_is_published_and_replaced_and_what_was_published_stays(call: Call) -> None:
    made = create(call).json()
    assert (made["published"], made["draft"]["version"]) == (None, 1)
    assert call("POST", "/shop/publish").json()["published"]["version"] == 1
    for mode in ("drop", "observe"):  # the draft may be written again and again
        body = {"title": "New", "definition": {**DEFINITION, "mode": mode}}
        changed = call("PUT", "/shop", json=body).json()
        assert (changed["published"]["version"], changed["draft"]["version"]) == (1, 2)
        assert changed["published"]["definition"] == DEFINITION
    published = call("POST", "/shop/publish").json()
    assert (published["published"]["version"], published["draft"]) == (2, None)
    first = call("GET", "/shop/versions/1").json()
    assert first["definition"] == DEFINITION
    assert first["published_at"]
    assert [v["version"] for v in call("GET", "/shop/versions").json()["data"]] == [2, 1]
    page = call("GET", "/shop/versions?limit=1").json()
    rest = call("GET", "/shop/versions", params={"cursor": page["next_cursor"]}).json()
    assert [v["version"] for v in rest["data"]] == [1]
    assert call("GET", "/shop").json()["title"] == "New"


def test_the_order_of_the_author_is_kept(call: Call) -> None:
    rule = {**RULE, "properties": {"properties": {"z": {}, "a": {}}, "type": "object"}}
    create(call, rules=[rule])
    assert '"z":{},"a":{}' in call("GET", "/shop").text.replace(" ", "")


def test_nobody_overwrites_what_somebody_else_changed_meanwhile(call: Call) -> None:
    tag = create(call).headers["ETag"]
    body = {"title": "Mine", "definition": DEFINITION}
    mine = call("PUT", "/shop", json=body, headers={"If-Match": tag})
    assert mine.status_code == 200
    assert mine.headers["ETag"] != tag
    for method, path in (("PUT", "/shop"), ("POST", "/shop/publish"), ("DELETE", "/shop")):
        for stale in (tag, '"nonsense"', "W/1"):
            late = call(
                method, path, json=body if method == "PUT" else None, headers={"If-Match": stale}
            )
            assert (late.status_code, late.json()["code"]) == (412, "tracking-plan-changed")
    assert call("GET", "/shop").headers["ETag"] == mine.headers["ETag"]
    assert call("POST", "/shop/publish", headers={"If-Match": "*"}).status_code == 200


def test_what_cannot_be_done_is_said(call: Call, write_key: str) -> None:
    create(call)
    for method, path, body, status, code in (
        ("POST", "", {"key": "shop", "title": "x", "definition": {}}, 409, "tracking-plan-exists"),
        ("POST", "", {"key": "other", "title": "x", "definition": {"rules": 3}}, 422,
         "definition-invalid"),
        ("PUT", "/shop", {"title": "x", "definition": {"mode": "panic"}}, 422,
         "definition-invalid"),
        ("POST", "", {"key": "No Key", "title": "x", "definition": {}}, 422, "request-invalid"),
        ("GET", "/none", None, 404, "tracking-plan-not-found"),
        ("GET", "/none/violations", None, 404, "tracking-plan-not-found"),
        ("GET", "/shop/versions/9", None, 404, "tracking-plan-not-found"),
        ("POST", "/none/publish", None, 404, "tracking-plan-not-found"),
        ("PUT", "/shop/sources/web", None, 409, "tracking-plan-unpublished"),
        ("GET", "?cursor=nonsense", None, 422, "cursor-invalid"),
        ("GET", "/shop/violations?cursor=nonsense", None, 422, "cursor-invalid"),
        ("POST", "/infer", {"source": "none"}, 404, "source-not-found"),
    ):  # fmt: skip
        answer = call(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
    call("POST", "/shop/publish")
    assert call("POST", "/shop/publish").json()["code"] == "tracking-plan-unpublished"
    assert call("PUT", "/shop/sources/none").json()["code"] == "source-not-found"


def test_the_scope_is_demanded(server: TestClient, token: Call) -> None:
    other = token("segments:write")
    assert server.get("/v1/tracking-plans", headers=other).status_code == 403
    assert server.get("/v1/tracking-plans").status_code == 401


def test_a_source_has_one_plan_and_a_plan_in_use_is_not_deleted(
    call: Call, sessions: Sessions, write_key: str
) -> None:
    for key in ("shop", "other"):
        create(call, key)
        call("POST", f"/{key}/publish")
    assert call("PUT", "/shop/sources/web").status_code == 204
    assert call("PUT", "/shop/sources/web").status_code == 204
    assert call("GET", "/shop").json()["sources"] == ["web"]
    assert call("DELETE", "/shop").json()["code"] == "tracking-plan-attached"
    assert call("PUT", "/other/sources/web").status_code == 204
    assert call("GET", "/shop").json()["sources"] == []
    assert call("DELETE", "/shop/sources/web").status_code == 204  # not this plan's any more
    assert call("GET", "/other").json()["sources"] == ["web"]
    assert call("DELETE", "/shop").status_code == 204
    assert call("DELETE", "/other/sources/web").status_code == 204
    call("PUT", "/other/sources/web")
    with sessions.begin() as session:
        sources.remove(session, sources.find(session, "web"))
    assert call("DELETE", "/other").status_code == 204
    assert call("GET").json() == {"data": [], "next_cursor": None}


def test_the_plan_in_force_is_the_newest_published_one(
    call: Call, sessions: Sessions, write_key: str
) -> None:

    def number() -> int | None:
        plans = Plans()
        with sessions() as session:
            found = plans.refresh(session)
            plan = plans.of(sources.find(session, "web").id)
            assert found == (plan is not None)
            return plan.number if plan else None

    create(call)
    assert number() is None
    call("POST", "/shop/publish")
    call("PUT", "/shop/sources/web")
    assert number() == 1
    call("PUT", "/shop", json={"title": "x", "definition": DEFINITION})
    assert number() == 1
    call("POST", "/shop/publish")
    assert number() == 2
    call("DELETE", "/shop/sources/web")
    assert number() is None


def test_a_dry_run_says_what_would_become_of_an_event_and_stores_nothing(
    call: Call, sessions: Sessions
) -> None:
    create(call)
    event = {"type": "track", "event": "Order", "userId": "u", "properties": {"id": 3}}
    answer = call("POST", "/shop/validate", json={"event": event}).json()
    assert (answer["outcome"], answer["code"], answer["version"]) == (
        "rejected", "plan_violation", 1
    )  # fmt: skip
    assert answer["violations"] == [
        {"pointer": "/properties/id", "keyword": "type", "action": "rejected"}
    ]
    good = {**event, "properties": {"id": "3"}}
    assert call("POST", "/shop/validate", json={"event": good}).json()["violations"] == []
    unreadable = call("POST", "/shop/validate", json={"event": {"type": "track"}}).json()
    assert (unreadable["outcome"], unreadable["code"]) == ("rejected", "event_missing")
    call("POST", "/shop/publish")
    call("PUT", "/shop", json={"title": "x", "definition": {**DEFINITION, "mode": "drop"}})
    dropped = call("POST", "/shop/validate", json={"event": event}).json()
    assert (dropped["version"], dropped["outcome"]) == (2, "accepted")
    assert dropped["event"]["properties"] == {}
    odd = call("POST", "/shop/validate", json={"event": event, "plan_version": 1})
    assert odd.status_code == 422
    old = call("POST", "/shop/validate", json={"event": event, "version": 1}).json()
    assert old["outcome"] == "rejected"


def test_a_hostile_definition_ends_in_a_plain_refusal(call: Call) -> None:
    deep = "{" + '"items":{' * 20_000 + "}" * 20_001
    bodies = [  # NUL in a text of JSON is no harm: what is stored is its escape
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        + deep
        + "}]}}",
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        '{"$ref":"http://127.0.0.1:1/"}}]}}',
        '{"key":"a","title":"\\u0000","definition":{}}',
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        '{"properties":{"\\u0000":3}}}]}}',
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        '{"const":"\\ud800"}}]}}',
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        '{"maximum":NaN}}]}}',
        '{"key":"a","title":"a","definition":{"rules":[{"type":"page","properties":'
        '{"maximum":1e999}}]}}',
        json.dumps({"key": "a", "title": "a", "definition": {"x": "y" * 1_000_000}}),
    ]
    for body in bodies:
        answer = call("POST", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500, (body[:90], answer.text)


def test_the_command_line_does_the_same(
    sessions: Sessions, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    write_key: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("PARCOURS_DATABASE_URL", database_url)
    runner = CliRunner()
    file, events = tmp_path / "shop.json", tmp_path / "events.ndjson"
    file.write_text(json.dumps(DEFINITION))
    event = {"type": "track", "event": "Order", "userId": "u", "properties": {"id": "1"}}
    events.write_text(json.dumps(event) + "\n")

    def run(*words: str, status: int = 0) -> Any:
        result = runner.invoke(command_line, ["plan", *words])
        assert result.exit_code == status, (words, result.output, result.exception)
        return json.loads(result.output) if result.output.startswith(("{", "[")) else result.output

    assert run("check", str(file), "--events", str(events), "--json") == []
    events.write_text(json.dumps({**event, "properties": {}}) + "\n\n" + '{"type": "track"}\n')
    found = run("check", str(file), "--events", str(events), "--json", status=1)
    assert [(row["line"], row["keyword"]) for row in found] == [
        (1, "required"), (3, "event_missing")
    ]  # fmt: skip
    assert run("create", "shop", str(file), "--json") == {"key": "shop", "draft": 1}
    assert run("publish", "shop", "--json") == {"key": "shop", "published": 1}
    run("attach", "shop", "web")
    [row] = run("list", "--json")
    assert row == {
        "key": "shop", "title": "shop", "published": 1, "draft": None, "sources": ["web"]
    }  # fmt: skip
    assert run("update", "shop", str(file), "--json") == {"key": "shop", "draft": 2}
    assert run("show", "shop") == run("show", "shop", "--version", "1") == DEFINITION
    assert run("violations", "shop", "--json") == []
    assert run("infer", "web")["rules"] == []
    run("detach", "shop", "web")
    run("remove", "shop")
    assert run("list", "--json") == []
    file.write_text("[")
    assert runner.invoke(command_line, ["plan", "check", str(file)]).exit_code == 1
