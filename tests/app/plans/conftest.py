"""A plan for the source `web`, and a sender whose events are put to it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from app.db import Sessions
from app.plans import in_force, versions
from app.settings import Settings
from tests.app.plans.events import ORDER, Publish, Send


@pytest.fixture
def publish(sessions: Sessions, write_key: str, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish a plan for the source `web`; in force at once, without the two seconds."""
    monkeypatch.setattr(in_force, "SECONDS", 0.0)

    def make(mode: str = "observe", *, unplanned: str = "observe", **rule: Any) -> None:
        rules = [{"type": "track", "event": "Order", "properties": ORDER}, *rule.get("more", [])]
        definition = {"mode": mode, "unplanned_events": unplanned, "rules": rules}
        with sessions.begin() as session:
            if versions.list_page(session):
                versions.edit(session, "shop", title="Shop", definition=definition)
            else:
                versions.create(session, key="shop", title="Shop", definition=definition)
            versions.publish(session, "shop")
            versions.attach(session, "shop", "web")

    return make


@pytest.fixture
def servers(
    server: TestClient, settings: Settings, sessions: Sessions
) -> Iterator[tuple[TestClient, TestClient]]:
    """Two servers on one database, each with a writer and a memory of its own."""
    with TestClient(create_app(settings, sessions), base_url="https://parcours.test") as second:
        yield server, second


@pytest.fixture
def send(server: TestClient, write_key: str) -> Send:
    """Send a batch and return the answer's body."""

    def post(*events: dict[str, Any], key: str = write_key, to: TestClient = server) -> Any:
        answer = to.post("/v1/batch", json={"batch": events, "writeKey": key})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def listed(server: TestClient, token: Any) -> Callable[..., Any]:
    """List the violations of the plan."""
    header = token("sources:admin")

    def get(**parameters: Any) -> Any:
        answer = server.get("/v1/tracking-plans/shop/violations", params=parameters, headers=header)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get
