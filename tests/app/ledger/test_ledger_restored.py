"""A ledger and a keystore of which one is older than the other, and two who are at it at once."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from api.cli.root import app
from app.db import Sessions, advisory_lock
from app.errors import LedgerForked
from app.ledger import ending, seal
from app.ledger.anchor import Anchor, publish
from app.ledger.job import LedgerJob
from app.ledger.keystore import Keystore
from app.settings import Settings
from consent import erasure as consents
from consent import ledger
from consent.ledger import store
from tests.app.ledger.recording import HOST, NOW, choice, entries, people, record, tamper

Sealing = Callable[..., int]
ADA = ("email", "ada@example.org")


def erase(sessions: Sessions, keystore: Keystore) -> None:
    """Delete what is recorded of Ada, then her key, as an erasure does."""
    erasure = uuid4()
    with sessions.begin() as session:
        consents.begun(session, erasure, reason_ref="test")
        consents.forget(session, erasure, [ADA])
    assert ending.destroy(sessions, keystore, [ADA], at=NOW) is not None


def test_what_a_destroyed_key_sealed_goes_from_an_older_database_too(
    sessions: Sessions, settings: Settings, keystore: Keystore, anchor: Anchor, sealing: Sealing
) -> None:
    """The keystore has told of the key; the database that was restored does not know of it."""
    people(sessions, 3)
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    [(key, _)] = keystore.of([ADA]).values()
    with sessions() as session:
        size = store.head(session).size
        query = sa.text("SELECT * FROM consent.ledger_sealed WHERE key_id = :key")
        [older] = session.execute(query, {"key": key}).mappings().all()
    erase(sessions, keystore)
    sealing()
    publish(sessions, anchor, keystore.vkeys())
    tamper(
        sessions,
        "DELETE FROM consent.ledger_entry WHERE leaf_index >= :size",
        "DELETE FROM consent.ledger_checkpoint WHERE size > :size",
        "INSERT INTO consent.ledger_sealed VALUES (:leaf_index, :key_id, :sealed)",
        size=size,
        **older,
    )
    assert keystore.untold() == {}
    with sessions.begin() as session:
        seal.rotate(session, keystore, host=HOST, overlap=timedelta(0), new_log=True)
    LedgerJob(sessions, settings).round()
    with sessions() as session:
        assert session.execute(query, {"key": key}).all() == []
        told = [e["key"] for e in entries(session) if e.get("event") == "subject_key_destroyed"]
        assert told == [key.hex]
        report = ledger.verify(session, full=True, keys=keystore.by_ids, own=keystore.vkeys())
        assert report.problems == []


def test_a_database_restored_without_the_checkpoints_signs_nothing_that_contradicts_them(
    sessions: Sessions,
    settings: Settings,
    keystore: Keystore,
    anchor: Anchor,
    sealing: Sealing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On another machine the keystore is taken along, or nothing opens; an anchor is forgotten."""
    people(sessions, 3)
    sealing()
    with sessions() as session:
        size = store.head(session).size
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    tamper(
        sessions,
        "DELETE FROM consent.ledger_sealed WHERE leaf_index >= :size",
        "DELETE FROM consent.ledger_entry WHERE leaf_index >= :size",
        "DELETE FROM consent.ledger_checkpoint WHERE size > :size",
        "DELETE FROM consent.ledger_node WHERE (node_index + 1) << CAST(level AS int) > :size",
        size=size,
    )
    record(sessions, [choice("email:bob@example.org")])
    assert not anchor.path.exists()
    with pytest.raises(LedgerForked, match=f"{size + 1} entries were signed and {size} are here"):
        sealing()
    monkeypatch.setenv("PARCOURS_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.home))
    verified = CliRunner().invoke(app, ["ledger", "verify", "--json"])
    assert verified.exit_code == 1
    [problem] = json.loads(verified.stdout)["problems"]
    assert f"the checkpoint of {size + 1} entries" in problem["what"]
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    [said] = [row["detail"] for row in told if row["check"] == "ledger"]
    assert said.startswith(f"{size + 1} entries were signed and {size} are here")
    with sessions.begin() as session:
        seal.rotate(session, keystore, host=HOST, overlap=timedelta(0), new_log=True)
    assert sealing() > 0
    assert CliRunner().invoke(app, ["ledger", "verify", "--json"]).exit_code == 0
    told = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    [said] = [row["detail"] for row in told if row["check"] == "ledger"]
    assert "were signed and" not in said


def test_keys_that_an_older_keystore_lacks_are_told_and_the_ledger_goes_on(
    sessions: Sessions, settings: Settings, keystore: Keystore, sealing: Sealing
) -> None:
    people(sessions, 1)
    sealing()
    older = (settings.home / "keystore.db").read_bytes()
    record(sessions, [choice("email:ada@example.org")])
    sealing()
    keystore.close()
    (settings.home / "keystore.db").write_bytes(older)
    record(sessions, [choice("email:ada@example.org", "refused")])
    assert sealing() == 1
    with sessions() as session:
        report = ledger.verify(session, full=True, keys=keystore.by_ids, own=keystore.vkeys())
        [problem] = report.problems
        assert "cannot be opened" in problem.what
        assert problem.index == report.size - 2


def test_a_key_is_rotated_while_nobody_seals(
    sessions: Sessions, keystore: Keystore, sealing: Sealing
) -> None:
    """Two who make the first key at once would begin two logs, of which one is forgotten."""
    people(sessions, 1)
    rotated = threading.Event()

    def rotate() -> None:
        with sessions() as session:
            seal.rotate(session, keystore, host=HOST, overlap=timedelta(0), new_log=False)
        rotated.set()

    rotating = threading.Thread(target=rotate)
    with sessions.begin() as session, advisory_lock(session, seal.LOCK) as mine:
        assert mine
        rotating.start()
        assert not rotated.wait(0.5)
        first = keystore.add_signing_key("log", at=NOW, overlap=timedelta(0)).origin
    rotating.join(20)
    assert rotated.is_set()
    assert {key.signer.origin for key in keystore.signing_keys(at=NOW)} == {first}
