"""The commands of reviews, explanations, previews and drift, on a database of matched people."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli import identity
from api.cli.root import app
from app import db
from identity import graph

Run = Callable[..., str]


@pytest.fixture
def parcours(matched_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a copy of the matched people and return what it printed."""
    monkeypatch.setenv("PARCOURS_DATABASE_URL", matched_url)
    engine = db.engine(matched_url)
    with db.sessions(engine).begin() as session:
        rows = session.execute(sa.text("SELECT value, id FROM identity.identifier"))
        ids = {row.value: row.id for row in rows}
        session.execute(sa.text("DELETE FROM identity.review"))
        pair = sorted((ids["grace"], ids["stranger"]))
        waits = {"left_id": pair[0], "right_id": pair[1], "weight": 2.0, "probability": 0.8,
                 "evidence": {}, "run_id": 1}  # fmt: skip
        session.execute(graph.statement("queue_reviews"), {"rows": json.dumps([waits])})
    engine.dispose()

    def run(*words: str, status: int = 0) -> str:
        found = CliRunner().invoke(app, ["identity", *words])
        assert found.exit_code == status, found.output or found.exception
        return found.stdout

    return run


def test_a_review_is_listed_shown_postponed_and_decided(parcours: Run) -> None:
    [entry] = json.loads(parcours("reviews", "list", "--json"))
    shown = parcours(
        "reviews", "show", entry["id"], "--purpose", "profile.link", "--language", "fr"
    )
    assert "quartermain" in shown
    assert "Date de naissance" in shown
    assert "quartermain" not in parcours("reviews", "show", entry["id"])
    parcours("reviews", "decide", entry["id"], "later", "--days", "3")
    assert json.loads(parcours("reviews", "list", "--json")) == []
    decided = json.loads(parcours("reviews", "decide", entry["id"], "no_match", "--json"))
    assert decided == {"id": entry["id"], "decision": "no_match", "merged": 0, "split": 0}
    parcours("reviews", "decide", entry["id"], "match", status=1)
    parcours("reviews", "recalibrate", status=1)
    drift: dict[str, Any] = json.loads(parcours("drift", "--json"))
    assert drift["data"][0]["verdict"] == "thin"
    assert "Too little was decided" in parcours("drift")
    assert json.loads(parcours("held", "--json")) == []


def test_two_are_explained_drawn_and_a_change_is_previewed(parcours: Run, tmp_path: Path) -> None:
    picture = tmp_path / "why.svg"
    told = parcours("explain", "crm_id:ada", "crm_id:twice", "--svg", str(picture))
    assert "are one person" in told
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 -- our own file
    assert "2 identifiers are held together" in parcours("explain", "crm_id:ada")
    why_not = json.loads(parcours("explain", "crm_id:ada", "crm_id:refuses", "--json"))
    assert [reason["code"] for reason in why_not["reasons"]] == ["consent:refused"]
    parcours("explain", "crm_id:ada", "crm_id:nobody", status=1)
    found = json.loads(parcours("preview", "--namespace", "crm_id", "--blocked", "twice", "--json"))
    assert (found["people_merged"], found["people_split"]) == (0, 1)
    assert "people split" in parcours("preview", "--merge-threshold", "0.9999")
    parcours("preview", status=2)
    parcours("preview", "--limit", "2", status=2)


def test_merges_are_listed_said_and_undone(parcours: Run) -> None:
    [merge] = json.loads(parcours("merges", "list", "--of", "crm_id:ada", "--json"))
    assert [{link["left"], link["right"]} for link in merge["links"]] == [
        {"crm_id:ada", "crm_id:twice"}
    ]
    newest = [row["id"] for row in json.loads(parcours("merges", "list", "--json"))]
    assert newest == sorted(newest, reverse=True)
    assert len(newest) == 20
    assert "crm_id:twice" in parcours("merges", "list", "--of", "crm_id:ada")
    number = str(merge["id"])
    assert "%" in parcours("merges", "show", number)
    assert json.loads(parcours("merges", "show", number, "--json")) == merge
    done = json.loads(parcours("merges", "undo", number, "--json"))
    assert done == {"id": merge["id"], "merged": 0, "split": 1}
    assert "command line" in parcours("merges", "show", number)
    assert "two people" in parcours("explain", "crm_id:ada", "crm_id:twice")
    parcours("merges", "undo", number, status=1)
    parcours("merges", "show", str(2**62), status=1)


def test_no_identifier_commands_the_terminal(parcours: Run, matched_url: str) -> None:
    """Anybody who sends events chooses them."""
    engine = db.engine(matched_url)
    with db.sessions(engine).begin() as session:
        renamed = "UPDATE identity.identifier SET value = :to WHERE value = :of"
        for of, to in (("ada", "\x1b]0;ada\x07"), ("grace", "[/grace]\x1b[2J")):
            session.execute(sa.text(renamed), {"of": of, "to": to})
        ada = session.scalar(sa.text("SELECT profile_id FROM identity.identifier"
                                     " WHERE value LIKE '%ada%'"))  # fmt: skip
    engine.dispose()
    for told in (
        parcours("explain", str(ada)),
        parcours("reviews", "show", json.loads(parcours("reviews", "list", "--json"))[0]["id"]),
    ):
        assert "\x1b" not in told
        assert "x1b" in told
    [merge] = json.loads(parcours("merges", "list", "--of", str(ada), "--json"))
    for told in (
        parcours("merges", "list", "--of", str(ada)),
        parcours("merges", "show", str(merge["id"])),
    ):
        assert "\x1b" not in told
        assert "x1b" in told


def test_who_asks_for_a_run_without_a_worker_is_told_so(
    parcours: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command waited for ever, and said nothing."""
    monkeypatch.setattr(identity, "PATIENCE", -1.0)
    asked = json.loads(parcours("run", "--new", "--json", status=1))
    assert (asked["state"], asked["parameters"]["scope"]) == ("waiting", "new")
