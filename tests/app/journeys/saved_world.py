"""A world with saved analyses: two who view and hardly order, a worker, a webhook to tell."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.db import Sessions
from app.journeys import alert_news, alerting
from app.settings import Settings
from tests.app.destinations.world import EMAIL, World

Token = Callable[..., dict[str, str]]
NOW = datetime.now(UTC)
FUNNEL: dict[str, Any] = {
    "name": "Orders",
    "analysis": "funnel",
    "request": {"steps": [{"event": "Viewed"}, {"event": "Ordered"}], "purpose": EMAIL},
    "last": "P7D",
    "every": "PT1H",
    "alert": {"at": "/rates/raw", "below": 0.5, "destination": "alarms"},
}


@pytest.fixture
def world(server: TestClient, sessions: Sessions, write_key: str, token: Token) -> World:
    """Two who view, of whom one ordered a month ago; and a webhook to tell."""
    world = World(server, sessions, write_key, token(purposes=(EMAIL, "analytics.audience")))
    world.people("one", "two")
    world.segment("all", {"trait": "email", "op": "exists"})
    for user in ("one", "two"):
        see(world, user, "Viewed", NOW - timedelta(days=1))
        see(world, user, "Viewed", NOW - timedelta(days=30))
    see(world, "one", "Ordered", NOW - timedelta(days=29))
    return world


def see(world: World, user: str, event: str, at: datetime) -> None:
    body = {"userId": user, "event": event, "timestamp": at.isoformat(), "writeKey": world.key}
    world.server.post("/v1/track", json=body).raise_for_status()
    world.work()


def save(
    world: World, wanted: dict[str, Any] = FUNNEL, status: int = 200, key: str = "orders"
) -> Any:
    answer = world.server.put(f"/v1/saved-analyses/{key}", json=wanted, headers=world.header)
    assert answer.status_code == status, answer.text
    return answer.json()


def look(world: World, settings: Settings, hours: float = 0) -> int:
    return alerting.advance(
        world.sessions, settings.lake_dir, now=datetime.now(UTC) + timedelta(hours=hours)
    )


def told(world: World, hours: float = 0) -> int:
    with httpx.Client(timeout=5) as client:
        return alert_news.tell(
            world.sessions, client, now=datetime.now(UTC) + timedelta(hours=hours)
        )


def alerts(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.get("/v1/saved-analyses/orders/alerts")["data"]
    return found
