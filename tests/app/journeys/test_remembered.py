"""An answer is given again while it is true, and to nobody's cost who has said no since."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app.db import Sessions
from app.journeys import remembered
from app.lake import duckdb_engine
from app.lake.basis import Basis
from app.lake.duckdb_engine import Lake
from tests.app.journeys.test_reconcile import PURPOSE, STEPS, World


@pytest.fixture
def world(server: TestClient, sessions: Sessions, token: Any, write_key: str) -> World:
    made = World(server, sessions, write_key, token(purposes=(PURPOSE,)), seed=7)
    for n in range(4):
        made.track(f"u{n}", 8)
    made.track("d0", 8)
    made.settle()
    return made


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which purposes the lake was opened for."""
    found = list[str]()

    def note(shown: Basis, purpose: str) -> AbstractContextManager[Lake]:
        found.append(purpose)
        return duckdb_engine.opened(shown, purpose)

    monkeypatch.setattr("app.journeys.analyses.opened", note)
    return found


def test_an_answer_is_given_again_until_anything_it_rests_on_changes(
    world: World, sessions: Sessions, computed: list[str]
) -> None:
    at = datetime.now(UTC).isoformat()

    def ask(**more: str) -> dict[str, Any]:
        return world.ask("funnel", {"steps": STEPS, **more})

    def people() -> int:
        """Ask twice for now and twice for then; each time the second is the first, again."""
        before = len(computed)
        answers = [ask(), ask(), ask(as_of=at), ask(as_of=at)]
        assert answers[0] == answers[1]
        assert answers[2] == answers[3]
        assert answers[2]["as_of"] == at
        assert len(computed) == before + 2
        assert answers[0]["n_profiles"] == answers[2]["n_profiles"]
        found: int = answers[0]["n_profiles"]
        return found

    assert people() == 5
    world.withdraw("u1")
    assert people() == 4
    world.log_in("d0", "u0")
    world.settle()
    assert people() == 3
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.lake_removal (event_id) SELECT e.id FROM app.event e"
                " JOIN identity.identifier i ON i.id = e.identifier_id WHERE i.value = 'u2'"
            )
        )
    assert people() == 2


def test_an_answer_of_now_is_soon_too_old_and_large_ones_are_not_kept(
    world: World, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.ask("funnel", {"steps": STEPS})
    monkeypatch.setattr(remembered, "FRESH", timedelta(0))
    assert world.ask("funnel", {"steps": STEPS})["as_of"] > first["as_of"]
    monkeypatch.setattr(remembered, "MOST_BYTES", 4_000)
    for n in (3, 4):
        world.ask("paths", {"as_of": first["as_of"]})
        assert len(computed) == n
