"""Who takes somebody off the suppression list by hand, or puts somebody on it, is found."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa

from app.db import Sessions
from app.privacy import journal, suppressed
from app.privacy.erase import erase
from app.privacy.lifting import lift
from app.privacy.subject import Subject
from app.settings import Settings
from app.suppression import gate
from tests.app.ledger.test_ledger_seal import command

ADA, BOB = ("email", "ada@example.org"), ("email", "bob@example.org")


def test_the_suppression_list_is_held_against_the_journal(
    sessions: Sessions, settings: Settings
) -> None:
    gate.use(settings)
    now = datetime.now(UTC)
    for who in (ADA, BOB):
        person = Subject((who,), ())
        assert erase(
            sessions, settings, person, erasure_id=uuid4(), reason_ref="test", at=now
        ) is not None  # fmt: skip
    with sessions.begin() as session:
        assert lift(session, settings, [BOB], reason_ref="test", now=now) == 1

    def found(forged: str = "SELECT 1") -> list[str]:
        with sessions() as session:
            session.execute(sa.text(forged))
            told = suppressed.differing(session, journal.read(settings.journal))
            session.rollback()
            return told

    assert found() == []
    [gone] = found("DELETE FROM consent.suppression")
    assert "1 identifiers were taken off" in gone
    [more] = found(
        "INSERT INTO consent.suppression (ref, key_id, namespace, normaliser, reason_ref) "
        "VALUES ('x', 'x', 'email', 1, 'none')"
    )
    assert "1 identifiers were put on" in more
    both = found("UPDATE consent.suppression SET ref = 'x'")
    assert len(both) == 2
    with sessions.begin() as session:
        session.execute(sa.text("DELETE FROM consent.suppression"))
    told = json.loads(command(settings, "ledger", "verify", "--full", "--json"))
    assert [problem["what"] for problem in told["problems"]] == [gone]
