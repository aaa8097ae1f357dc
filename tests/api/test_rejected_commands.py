"""`parcours rejected …` with what nobody means to type: empty names, numbers without end."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.cli.session import show
from app.errors import RejectedEventNotFound, SourceNotFound
from tests.api.line import Line


@pytest.fixture
def line(tmp_path: Path, database_url: str) -> Line:
    return Line("rejected", tmp_path, database_url)


@pytest.fixture
def rejected(server: TestClient, write_key: str) -> None:
    """One rejected event of the source `web`: it has no name."""
    batch = {"batch": [{"type": "track", "userId": "u-1"}]}
    assert server.post("/v1/batch", json=batch, auth=(write_key, "")).json()["rejected"]


@pytest.mark.usefixtures("rejected")
def test_an_empty_name_is_none_and_never_stands_for_all(line: Line) -> None:
    for words in (("list",), ("counts",), ("replay",)):
        with pytest.raises(SourceNotFound):
            line(*words, "--source", "")
    for words in (("list",), ("replay",)):
        assert "leave --code out" in line(*words, "--code", "", status=2)
    assert [row["state"] for row in line.json("list")] == ["open"]


@pytest.mark.usefixtures("rejected")
def test_what_is_always_json_takes_the_option_too(line: Line) -> None:
    [row] = line.json("list")
    assert "T" in row["received_at"]
    shown = line.json("show", str(row["id"]))
    assert shown == json.loads(line("show", str(row["id"])))
    assert shown["received_at"] == row["received_at"]


def test_numbers_without_end_are_refused_with_their_bounds(line: Line, tmp_path: Path) -> None:
    endless = "99999999999999999999"
    for command in ("show", "replay", "discard"):
        assert "4611686018427387904" in line(command, endless, status=2)
    assert "1000000" in line("list", "--limit", endless, status=2)
    with pytest.raises(RejectedEventNotFound):
        line("show", str(2**62))
    for text, said in (("{", "not JSON"), ('{"a": NaN}', "NaN"), ("[1]", "not a JSON object")):
        file = tmp_path / "event.json"
        file.write_text(text)
        assert said in line("replay", "1", "--file", str(file), status=2).replace("\n", " ")


def test_a_table_cuts_nothing_short_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show([{"pointer": "/" + "x" * 90, "code": "nested_too_deeply"}], False, "pointer", "code")
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert printed.count("x") == 90
