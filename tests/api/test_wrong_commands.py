"""Commands that are used wrongly: one line that says what to do, a status, and no traceback."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from api.cli import root

SECRET = "hunter2-hunter2"


class Said(NamedTuple):
    """What a command said."""

    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def parcours(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    database_url: str,
) -> Run:
    """Run a command as a shell does, and return what it says."""
    monkeypatch.setenv("PARCOURS_DATABASE_URL", database_url)
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["parcours", *words])
        with pytest.raises(SystemExit) as ended:
            root.main()
        status = ended.value.code
        assert isinstance(status, int)
        return Said(status, *capfd.readouterr())

    return run


def written(folder: Path, value: object) -> str:
    file = folder / "given.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    return str(file)


def test_a_destination_without_a_purpose_is_refused_without_its_secrets(
    parcours: Run, tmp_path: Path
) -> None:
    file = written(tmp_path, {"name": "crm", "secrets": {"access_token": SECRET}, "rate": SECRET})
    said = parcours("destination", "add", file)
    assert said.status == 1
    assert "#/purpose: Field required" in said.err
    assert SECRET not in said.out + said.err
    assert len(said.err.splitlines()) == 1


def test_an_error_is_json_too_where_json_was_asked_for(parcours: Run) -> None:
    said = parcours("source", "show", "nobody", "--json")
    assert said.status == 1
    assert json.loads(said.out)["error"]["code"] == "source-not-found"
    assert said.err.startswith("error: ")
    assert parcours("source", "show", "nobody").out == ""
    for wrong, names in (
        (["source", "show", "--json"], "name"),
        (["source", "list", "--jsn", "--json"], "--jsn"),
        (["sources", "--json"], "sources"),
        (["rejected", "list", "--limit", "x", "--json"], "--limit"),
    ):
        said = parcours(*wrong)
        found = json.loads(said.out)["error"]
        assert (said.status, found["code"]) == (2, "usage")
        assert names in found["message"]
        assert names in said.err
        assert parcours(*[word for word in wrong if word != "--json"]).out == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["analyse", "fun"], "there is no analysis 'fun'"),
        (["analyse", "funnel", "--out", "answer.doc"], "answer.doc"),
        (["serve", "--port", "99999"], "65535"),
        (["source", "add"], "name"),
        (["privacy", "export", "user_id:u", "--to", "x.zip", "--kind", "all"], "access"),
    ],
)
def test_a_command_line_that_means_nothing_ends_with_2(
    parcours: Run, words: list[str], told: str
) -> None:
    said = parcours(*words)
    assert (said.status, said.out) == (2, "")
    assert told in said.err


def test_a_question_that_is_none_is_told_by_its_places(parcours: Run, tmp_path: Path) -> None:
    said = parcours("analyse", "funnel", written(tmp_path, {"steps": "all"}))
    assert (said.status, "#/steps: " in said.err) == (1, True)
    said = parcours("analyse", "funnel", str(tmp_path / "none.json"))
    assert (said.status, "No such file" in said.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ["journey", "start", "retail", "--out", "{}/none/map.xlsx"],
        ["privacy", "export", "user_id:u-1", "--to", "{}"],
        ["consent", "controller", "{}/none.json"],
        ["privacy", "vault", "openings", "--data-dir", "/dev/null/here"],
        ["ledger", "verify", "--from-checkpoint", "{}/none.txt"],
        ["ledger", "check", "{}/none.tlog-proof", "--vkey", "none"],
        ["consent", "verify-bundle", "{}/none"],
        ["privacy", "vault", "request", "user_id:u", "--reason", "x", "--client", "c",
         "--secret-file", "{}/none.txt"],
        ["identity", "evaluate", "--people", "{}/none.csv"],
        ["identity", "evaluate", "--labels", "{}/none.csv"],
        ["import", "{}/none.csv", "--source", "web", "--dry-run"],
    ],
    ids=lambda words: " ".join(words[:3]),
)  # fmt: skip
def test_a_file_that_is_not_there_is_named_in_one_line(
    parcours: Run, tmp_path: Path, words: list[str]
) -> None:
    said = parcours(*(word.format(tmp_path) for word in words))
    assert said.status in (1, 2)
    assert "none" in said.err or str(tmp_path) in said.err or "/dev/null" in said.err
    assert len(said.err.strip().splitlines()) <= 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BODY_BYTES", "plenty"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", f"mysql://parcours:{SECRET}@db/parcours"),
        ("PRIVACY_TIME_ZONE", "Paris"),
        ("HOLIDAYS", "Christmas"),
    ],
)
def test_a_setting_that_means_nothing_is_named_and_its_value_is_not(
    parcours: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"PARCOURS_{name}", value)
    for words in (["source", "list"], ["serve", "--port", "1"], ["worker"], ["doctor"]):
        said = parcours(*words)
        assert (said.status, len(said.err.splitlines())) == (1, 1), said
        assert said.err.startswith(f"error: PARCOURS_{name}: ")
        assert value not in said.err


def test_a_database_that_is_away_is_told_without_its_password(
    parcours: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", f"postgresql://parcours:{SECRET}@127.0.0.1:1/none")
    said = parcours("doctor")
    assert said == Said(1, "", "error: The database cannot be reached.\n")
