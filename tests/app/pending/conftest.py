"""A source that waits for its visitors' answers, and the job that ends the waiting."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db import Sessions
from app.events.release import Releases
from app.pending.vault import Vault
from app.settings import Settings
from tests.app.pending.waiting import Send, pending


@pytest.fixture
def write_key(sessions: Sessions) -> str:
    return pending(sessions)


@pytest.fixture
def send(server: TestClient, write_key: str) -> Send:
    def post(*events: Any, key: str = write_key) -> dict[str, Any]:
        answer = server.post("/v1/batch", json={"batch": events, "writeKey": key})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        counts = said["accepted"] + said["duplicates"] + said["held"] + len(said["rejected"])
        assert counts == said["received"] == len(events)
        return said

    return post


@pytest.fixture
def releases(sessions: Sessions, settings: Settings) -> Releases:
    return Releases(sessions, Vault(settings))
