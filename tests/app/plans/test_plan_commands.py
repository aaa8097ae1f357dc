"""`parcours plan …` with files and names that are not as they should be."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.errors import DefinitionInvalid, TrackingPlanNotFound
from tests.api.line import Line
from tests.app.plans.events import Send, track

SCHEMA: dict[str, Any] = {"properties": {"id": {"type": "string"}}}
DEFINITION = {"rules": [{"type": "track", "event": "Order", "properties": SCHEMA}]}


@pytest.fixture
def line(tmp_path: Path, database_url: str) -> Line:
    return Line("plan", tmp_path, database_url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(DEFINITION))
    return file


def test_a_line_that_is_no_json_is_told_by_its_number_and_the_others_are_checked(
    line: Line, file: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.ndjson"
    good = json.dumps(track({"id": "a"})).encode()
    bad = json.dumps(track({"id": 1})).encode()
    events.write_bytes(b"\n".join([good, b"{", b"\xff", b"", bad, b"[" * 5_000, b"3"]))
    rows = line.json("check", str(file), "--events", str(events), status=1)
    assert [(row["line"], row["keyword"]) for row in rows] == [
        (2, "body_unreadable"), (3, "body_unreadable"), (5, "type"), (6, "body_unreadable"),
        (7, "not_an_object"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"rules": [{"type": "page", "properties": {"const": NaN}}]}', "NaN"),
        ('{"rules": [{"type": "page", "properties": {"const": -Infinity}}]}', "Infinity"),
        ('{"rules": [{"type": "page", "description": "\\ud800"}]}', "JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
    ],
)
def test_a_file_that_is_no_definition_is_refused_in_one_line(
    line: Line, file: Path, text: str, said: str
) -> None:
    file.write_text(text)
    for words in (("create", "shop"), ("check",)):
        with pytest.raises(DefinitionInvalid, match=said):
            line(*words, str(file))
    assert line.json("list") == []


def test_a_key_or_title_that_the_api_refuses_is_refused_by_the_command(
    line: Line, file: Path
) -> None:
    for key in ("../Ü x", "", "Shop", "-shop", "s" * 64, "shop\n"):
        with pytest.raises(DefinitionInvalid, match=r"^#/key: "):
            line("create", "--", key, str(file))
    for title in (" ", "t" * 201):
        with pytest.raises(DefinitionInvalid, match=r"^#/title: "):
            line("create", "shop", str(file), "--title", title)
    assert line.json("list") == []


def test_what_is_always_json_takes_the_option_too(
    line: Line, file: Path, send: Send, write_key: str
) -> None:
    line("create", "shop", str(file))
    assert line.json("show", "shop") == json.loads(line("show", "shop")) == DEFINITION
    assert line.json("infer", "web")["rules"] == []
    with pytest.raises(TrackingPlanNotFound):
        line("show", "shop", "--version", str(2**62))
    for words in (("show", "shop", "--version"), ("infer", "web", "--limit")):
        for number in ("99999999999999999999", "0"):
            line(*words, number, status=2)


def test_a_definition_that_is_no_json_is_refused_over_http_too(
    server: TestClient, token: Any
) -> None:
    text = '{"key": "shop", "title": "S", "definition": {"rules": [{"type": "page", %s}]}}'
    header = {**token("sources:admin"), "Content-Type": "application/json"}
    for wrong in ('"properties": {"const": NaN}', '"description": "\\ud800"'):
        answer = server.post("/v1/tracking-plans", content=text % wrong, headers=header)
        assert answer.status_code in (400, 422), answer.text
