"""`parcours destination …` on a database of its own."""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli.root import app
from app.destinations import registry, seal
from app.settings import Settings
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver


def test_an_operator_registers_looks_corrects_and_sends_again(
    people: World, receiver: Receiver, settings: Settings, tmp_path: Path
) -> None:
    people.people("ada", "bob", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    environment = {
        "PARCOURS_DATABASE_URL": str(settings.database_url),
        "PARCOURS_DATA_DIR": str(settings.data_dir),
    }

    def run(*words: str, status: int = 0) -> Any:
        done = CliRunner().invoke(app, words, env=environment)
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if done.stdout.strip() else None

    file = tmp_path / "there.json"
    wanted = {
        "name": "there", "kind": "segment", "url": receiver.url, "purpose": "marketing.email",
        "segments": ["pros"], "secrets": {"write_key": "wk"},
        "mapping": {"city": {"trait": "city", "required": True}},
    }  # fmt: skip
    file.write_text(json.dumps(wanted), encoding="utf-8")
    assert run("destination", "add", str(file))["kind"] == "segment"
    assert "segment" in {kind["kind"] for kind in run("destination", "kinds")}
    found = run("destination", "dry-run", "there")
    assert (found["members"], len(found["not_sent"]), found["would_send"]) == (2, 2, [])
    people.deliver()
    failed = run("destination", "outcomes", "there", "--json")
    assert {row["reason"] for row in failed} == {"field city: required, and there is no value"}
    people.identify("ada", city="Lyon")
    people.work()
    assert run("destination", "replay", "there")["queued"] == 2
    people.deliver()
    [shown] = run("destination", "list", "--json")
    assert (shown["failed"], shown["held"], shown["waiting"]) == (1, 1, 0)
    run("destination", "disable", "there")
    checked = CliRunner().invoke(app, ["doctor", "--json"], env=environment)
    assert "there is switched off" in checked.stdout
    run("destination", "enable", "there")
    asked = run("destination", "sync", "there", "--full")["sync"]
    assert (asked["what"], asked["state"]) == ("everything", "waiting")
    people.deliver()
    [shown] = run("destination", "list", "--json")
    assert (shown["sync"]["what"], shown["sync"]["state"]) == ("everything", "done")
    run("destination", "remove", "there")
    assert run("destination", "list", "--json") == []
    gone = CliRunner().invoke(app, ["destination", "sync", "there"], env=environment)
    assert gone.exit_code != 0


def test_secrets_from_before_there_was_a_key_are_sealed(people: World, receiver: Receiver) -> None:
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    people.destination(url=receiver.url, segments=["pros"])
    with people.sessions.begin() as session:
        session.execute(sa.text("UPDATE app.destination SET secret = 'whsec_c2VjcmV0'"))
        session.execute(sa.text("UPDATE app.destination SET settings = '{}'"))
    with people.sessions.begin() as session:
        assert registry.seal_plain(session) == 1
        assert registry.seal_plain(session) == 0
    with people.sessions() as session:
        [stored] = session.scalars(sa.text("SELECT secret FROM app.destination"))
        assert "c2VjcmV0" not in stored
        assert seal.open_all(stored) == {"signing_secret": "whsec_c2VjcmV0"}
    people.deliver()
    assert len(receiver.received) == 1
