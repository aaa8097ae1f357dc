"""`parcours doctor` finds what keeps erased people and refusals, or says that it is gone."""

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from api.cli import doctor, root
from app.db import Sessions
from app.ledger.keystore import Keystore
from app.privacy import refusals
from app.privacy.lifting import lift
from app.settings import Settings
from app.suppression import gate
from consent import suppression
from tests.app.ledger.recording import choice, record

ADA = ("email", "ada@example.org")


def test_a_lost_suppression_key_and_a_lost_journal_are_told(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.data_dir))

    def erasures() -> tuple[str, str]:
        done = CliRunner().invoke(root.app, ["doctor", "--json"])
        rows = {row["check"]: row for row in json.loads(done.stdout)}
        return rows["erasures"]["state"], rows["erasures"]["detail"]

    assert erasures() == ("ok", "0 in the journal, 0 identifiers suppressed")
    key = gate.use(settings)
    with sessions.begin() as session:
        mine = gate.keys_or_new().newest
        entry = suppression.Entry(mine.ref(*ADA), mine.id, ADA[0])
        suppression.suppress(session, [entry], normaliser=1, reason_ref="test")
        lift(session, settings, [("email", "bob@example.org")], reason_ref="t", now=now())
    assert erasures() == ("ok", "1 in the journal, 1 identifiers suppressed")

    kept = key.path.read_bytes()
    key.path.unlink()
    state, detail = erasures()
    assert (state, "restore it" in detail) == ("wrong", True)
    gate.keys_or_new()  # another key in its place
    state, detail = erasures()
    assert (state, detail.startswith("1 of 1 entries")) == ("wrong", True)
    key.path.write_bytes(kept)

    settings.journal.unlink()
    state, detail = erasures()
    assert (state, detail.startswith("1 erasures are not in")) == ("wrong", True)


def test_a_journal_of_refusals_that_is_behind_is_told(
    sessions: Sessions, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARCOURS_DATABASE_URL", settings.database_url or "")
    monkeypatch.setenv("PARCOURS_DATA_DIR", str(settings.data_dir))

    def told() -> tuple[str, str]:
        with sessions() as session:
            found = doctor._check("refusals", lambda s: doctor._refusals(s, settings), session)
        return found["state"], found["detail"]

    with closing(Keystore(settings)) as keystore:
        assert told() == ("ok", "0 portions in the journal")
        record(sessions, [choice("user_id:u-1", "refused")])
        refusals.advance(sessions, keystore, settings)
        assert told() == ("ok", "1 portions in the journal")
        record(sessions, [choice("user_id:u-2", "refused")])
        monkeypatch.setattr(doctor, "REFUSALS_SECONDS", 0.0)
        state, detail = told()
        assert (state, "is a worker running?" in detail) == ("wrong", True)
        [file] = settings.refusals.iterdir()
        file.rename(settings.home / "elsewhere")
        state, detail = told()
        assert (state, "has 0 portions of 1" in detail) == ("wrong", True)
        while refusals.advance(sessions, keystore, settings):
            pass
        # One of them says that all is told anew.
        assert told() == ("ok", "3 portions in the journal")


def now() -> datetime:
    return datetime.now(UTC)
