"""Maps of journeys over HTTP and by command: versions, differences, workbooks, personae."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.routes.journeys import EXAMPLE
from app import pipeline
from app.db import Sessions
from app.journeys import sheet_cells

Token = Callable[..., dict[str, str]]
KEY = EXAMPLE["key"]


def renamed(name: str) -> dict[str, Any]:
    return {**EXAMPLE, "name": name}


@pytest.fixture
def editor(token: Token) -> dict[str, str]:
    """The header of a client that reads and writes journeys."""
    return token("journeys:read", "journeys:write", purposes=("analytics.audience",))


def test_64_versions_stay_and_are_compared(server: TestClient, editor: dict[str, str]) -> None:
    for name in ("one", "two", "three"):
        assert server.post("/v1/journeys", json=renamed(name), headers=editor).status_code == 201
    found = server.get(f"/v1/journeys/{KEY}/versions", headers=editor).json()["data"]
    assert [each["version"] for each in found] == [3, 2, 1]
    second = server.get(f"/v1/journeys/{KEY}@2", headers=editor).json()
    assert (second["name"], second["version"]) == ("two", 2)
    compared = server.get(f"/v1/journeys/{KEY}/diff?from=2", headers=editor).json()
    assert (compared["from"], compared["to"]) == (2, 3)
    assert compared["data"] == [
        {"path": "/name", "kind": "changed", "before": "two", "after": "three"}
    ]
    asked = {"journey": f"{KEY}@2", "as_of": "2026-01-01T00:00:00Z"}
    before = server.post("/v1/analyses/matrix", json=asked, headers=editor)
    assert before.status_code == 200, before.text
    changed = {**renamed("four"), "stages": [*EXAMPLE["stages"], {"id": "after", "order": 3}]}
    server.post("/v1/journeys", json=changed, headers=editor)
    after = server.post("/v1/analyses/matrix", json=asked, headers=editor)
    same = ("definition_hash", "result")
    assert {k: after.json().get(k) for k in same} == {k: before.json().get(k) for k in same}


@pytest.mark.parametrize("key", ["nobody", f"{KEY}@9", f"{KEY}@", f"{KEY}@x", f"{KEY}@{'9' * 40}"])
def test_a_version_that_is_not_there_is_404(
    server: TestClient, editor: dict[str, str], key: str
) -> None:
    server.post("/v1/journeys", json=EXAMPLE, headers=editor)
    assert server.get(f"/v1/journeys/{key}", headers=editor).status_code == 404


def test_65_the_second_of_two_editors_is_refused_and_told(
    server: TestClient, editor: dict[str, str]
) -> None:
    read = server.post("/v1/journeys", json=renamed("one"), headers=editor).headers["ETag"]
    mine = {**editor, "If-Match": read}
    assert server.post("/v1/journeys", json=renamed("two"), headers=mine).status_code == 201
    refused = server.post("/v1/journeys", json=renamed("three"), headers=mine)
    assert refused.status_code == 412
    assert "differ at /name" in refused.json()["detail"]
    now = server.get(f"/v1/journeys/{KEY}", headers=editor)
    assert now.json()["name"] == "two"
    mine["If-Match"] = now.headers["ETag"]
    assert server.post("/v1/journeys", json=renamed("three"), headers=mine).status_code == 201
    never = {**editor, "If-Match": '"sha256:0"'}
    assert server.post("/v1/journeys", json=renamed("x"), headers=never).status_code == 412


def test_67_a_workbook_comes_back_as_the_same_version(
    server: TestClient, editor: dict[str, str]
) -> None:
    server.post("/v1/journeys", json=EXAMPLE, headers=editor)
    sent = server.get(f"/v1/journeys/{KEY}/map.xlsx", headers=editor)
    assert sent.headers["Content-Type"] == sheet_cells.MEDIA_TYPE
    kind = {**editor, "Content-Type": sheet_cells.MEDIA_TYPE}
    again = server.post("/v1/journey-maps", content=sent.content, headers=kind)
    assert (again.status_code, again.json()["version"]) == (201, 1)
    assert again.headers["ETag"] == sent.headers["ETag"]
    broken = server.post("/v1/journey-maps", content=b"PK broken", headers=kind)
    assert (broken.status_code, broken.json()["type"].rsplit("/", 1)[-1]) == (
        422,
        "map-unreadable",
    )


def test_68_a_persona_has_the_size_of_its_segment(
    server: TestClient, token: Token, sessions: Sessions, write_key: str
) -> None:
    header = token(purposes=("analytics.audience",))
    rule = {"trait": "city", "op": "eq", "value": "Lyon"}
    body = {"key": "lyon", "name": "Lyon", "purpose": "analytics.audience", "rule": rule}
    assert server.post("/v1/segments", json=body, headers=header).status_code == 201
    persona = {"id": "local", "segment": "lyon", "name": {"fr": "D'ici"}}
    server.post("/v1/journeys", json={**EXAMPLE, "personae": [persona]}, headers=header)

    def size() -> int:
        answer = server.get(f"/v1/journeys/{KEY}/personae", headers=header)
        return int(answer.json()["data"][0]["size"])

    def says(user: str, city: str, *, yes: bool = True) -> None:
        body = {
            "userId": user,
            "traits": {"city": city},
            "context": {"consent": {"categoryPreferences": {"analytics.audience": yes}}},
        }
        server.post("/v1/identify", json={**body, "writeKey": write_key}).raise_for_status()
        idle = False
        while not idle:
            with sessions.begin() as session:
                idle = pipeline.step(session).idle

    assert size() == 0
    for number in range(3):
        says(f"u-{number}", "Lyon")
    assert size() == 3
    says("u-0", "Paris")
    says("u-1", "Lyon", yes=False)
    assert size() == 1
    without = token("journeys:read", purposes=("marketing.email",))
    assert server.get(f"/v1/journeys/{KEY}/personae", headers=without).status_code == 403


def test_66_every_field_says_who_says_so(server: TestClient, editor: dict[str, str]) -> None:
    server.post("/v1/journeys", json=EXAMPLE, headers=editor)
    example: dict[str, Any] = dict(EXAMPLE)
    point, stage = example["touchpoints"][0]["id"], example["stages"][0]["id"]
    query = {"analysis": "matrix", "request": {"journey": KEY}}
    stated = [
        {"of": "", "source": "declared", "by": "workshop of the trades", "on": "2026-05-01"},
        {"of": f"/touchpoints/{point}", "source": "surveyed", "n": 12},
        {"of": f"/touchpoints/{point}/match", "source": "observed", "query": query},
    ]
    body = {**renamed("other"), "provenance": stated}
    assert server.post("/v1/journeys", json=body, headers=editor).status_code == 201
    answer = server.get(f"/v1/journeys/{KEY}/provenance", headers=editor).json()
    said = {one["path"]: one for one in answer["data"]}
    saved = server.get(f"/v1/journeys/{KEY}", headers=editor).json()
    items = {
        f"/{part}/{item['id']}/{field}"
        for part in ("stages", "channels", "touchpoints")
        for item in saved[part]
        for field in item
        if field != "id"
    }
    assert items <= said.keys()
    assert said[f"/touchpoints/{point}/match"]["query"] == query
    assert said[f"/touchpoints/{point}/stage"]["n"] == 12
    assert (said[f"/stages/{stage}/order"]["by"], said[f"/stages/{stage}/order"]["on"]) == (
        "workshop of the trades", "2026-05-01",
    )  # fmt: skip
    assert (said["/name"]["version"], said[f"/stages/{stage}/order"]["version"]) == (2, 1)
    first = server.get(f"/v1/journeys/{KEY}@1/provenance", headers=editor).json()["data"]
    assert {(one["source"], one["by"], one["version"]) for one in first} == {("declared", None, 1)}
    for wrong in (
        [{"of": "/touchpoints/nothing", "source": "surveyed", "n": 1}],
        [{"of": f"/touchpoints/{point}/colour", "source": "surveyed", "n": 1}],
        [{"of": "", "source": "declared", "by": "me"}],
        [stated[0], stated[0]],
    ):
        refused = server.post("/v1/journeys", json={**body, "provenance": wrong}, headers=editor)
        assert refused.status_code == 422, wrong
    assert server.get("/v1/journeys/nobody/provenance", headers=editor).status_code == 404


def test_templates_can_be_saved_as_they_are(server: TestClient, editor: dict[str, str]) -> None:
    found = server.get("/v1/journey-templates", headers=editor).json()["data"]
    assert len(found) > 1
    for template in found:
        saved = server.post("/v1/journeys", json=template, headers=editor)
        assert saved.status_code == 201, saved.text
