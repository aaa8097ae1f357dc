"""Who is erased while somebody looks where they stand in a journey is told of no more."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.journeys import following
from app.journeys.tables import JourneyDeviation
from tests.app.privacy.conftest import GIVEN, World

JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [{"id": "a", "order": 0}],
    "channels": ["web"],
    "touchpoints": [
        {"id": name, "stage": "a", "channel": "web", "match": {"event": name}} for name in "AB"
    ],
    "target": {"nodes": ["A", "B"], "edges": [{"from": "A", "to": "B", "max_delay": "P2D"}]},
}


def test_an_erasure_waits_for_who_holds_the_person_in_memory(
    world: World, token: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    header = token(purposes=("analytics.audience",))
    world.server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    begun = (datetime.now(UTC) - timedelta(days=5)).isoformat()
    world.send(
        {"type": "track", "userId": "ada-1815", "event": "A", "timestamp": begun, "context": GIVEN}
    )
    erasing = threading.Thread(target=world.ask, args=("erasure", "user_id:ada-1815"))
    read = following._events
    waited: list[bool] = []

    def slowly(*args: Any, **more: Any) -> Any:
        found = read(*args, **more)
        erasing.start()
        erasing.join(2)
        waited.append(erasing.is_alive())
        return found

    monkeypatch.setattr(following, "_events", slowly)
    assert following.advance(world.sessions)
    erasing.join()
    assert waited == [True]
    with world.sessions() as session:
        assert session.scalars(sa.select(JourneyDeviation)).all() == []
        told = session.scalars(sa.text("SELECT type FROM app.change")).all()
    assert set(told) == {"profile.erased"}


def test_nobody_is_looked_at_while_somebody_is_erased(world: World) -> None:
    with world.sessions.begin() as erasing:
        key = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('journeys', 0))")
        erasing.execute(key)
        with world.sessions.begin() as session:
            session.execute(
                sa.text(
                    "INSERT INTO app.journey_due (journey, person_id, due_at)"
                    " VALUES ('loan', 1, now())"
                )
            )
        assert not following.advance(world.sessions)
