"""A world with people in it, and every row of it as text."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.events import stream
from app.privacy import describe, requests, run
from app.settings import Settings
from app.suppression import gate
from identity import identifiers

GIVEN = {
    "consent": {
        "categoryPreferences": dict.fromkeys(
            ("profile.link", "analytics.audience", "marketing.email"), True
        )
    }
}


class World:
    """The product in one process, without a worker: what is to be done is done when asked."""

    def __init__(
        self, server: TestClient, sessions: Sessions, settings: Settings, write_key: str
    ) -> None:
        self.server, self.sessions = server, sessions
        self.settings = settings.model_copy(update={"erasure_grace_seconds": 0})
        self.key = write_key
        gate.use(self.settings)

    def send(self, *messages: dict[str, Any]) -> list[str]:
        """Send messages, take them through the product, and return the codes of those refused."""
        answer = self.server.post("/v1/batch", json={"batch": messages, "writeKey": self.key})
        assert answer.status_code == 200, answer.text
        self.settle()
        return [one["code"] for one in answer.json()["rejected"]]

    def settle(self) -> None:
        """Until nothing waits: what another database's transaction hides comes a moment later."""
        until = time.monotonic() + 5
        while True:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle
                waiting = stream.backlog(session, "pipeline").events
            if idle and (not waiting or time.monotonic() > until):
                return

    def ask(self, kind: str, *subject: str, **more: Any) -> dict[str, Any]:
        """Open a request that is attested, carry it out, and return it."""
        with self.sessions.begin() as session:
            made = requests.open_(
                session,
                self.settings,
                kind=kind,
                identifiers=[identifiers.parse(one) for one in subject],
                by="test",
                now=more.pop("now", None) or datetime.now(UTC),
                attested=more.pop("attested", "a test"),
                **more,
            )
            request_id = made.id
        run.at_once(self.sessions, self.settings, request_id)
        return self.shown(request_id)

    def shown(self, request_id: Any) -> dict[str, Any]:
        with self.sessions() as session:
            return describe.whole(session, request_id, self.settings, now=datetime.now(UTC))

    def rows(self) -> Iterator[tuple[str, str]]:
        """Every row of every table, as text."""
        with self.sessions() as session:
            tables = session.scalars(
                sa.text(
                    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                    "WHERE schemaname IN ('app', 'consent', 'identity')"
                )
            ).all()
            for table in tables:
                for row in session.scalars(sa.text(f"SELECT CAST(t AS text) FROM {table} t")):  # noqa: S608 -- names from the catalogue
                    yield table, row

    def where(self, *markers: str) -> set[str]:
        """The tables in which one of these stands."""
        lowered = [marker.lower() for marker in markers]
        return {t for t, row in self.rows() if any(one in row.lower() for one in lowered)}


@pytest.fixture
def world(server: TestClient, sessions: Sessions, settings: Settings, write_key: str) -> World:
    return World(server, sessions, settings, write_key)
