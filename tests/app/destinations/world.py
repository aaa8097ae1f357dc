"""People, segments and destinations to send them to, for the tests of kinds."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi.testclient import TestClient

from app import pipeline
from app.consents.record import record
from app.db import Sessions
from app.destinations import portions
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery
from identity import identifiers
from identity import people as persons

EMAIL = "marketing.email"


class World:
    """A product with one source, whose people agree to be written to unless they say otherwise."""

    def __init__(
        self, server: TestClient, sessions: Sessions, key: str, header: Mapping[str, str]
    ) -> None:
        self.server, self.sessions, self.key, self.header = server, sessions, key, dict(header)

    def identify(self, user: str, **traits: Any) -> None:
        body = {"userId": user, "traits": traits, "writeKey": self.key}
        self.server.post("/v1/identify", json=body).raise_for_status()

    def say(self, user: str, state: str = "given", *purposes: str) -> None:
        with self.sessions.begin() as session:
            record(
                session, "user_id", user, dict.fromkeys(purposes or (EMAIL, "profile.link"), state),
                collected_by="test", received_at=datetime.now(UTC),
            )  # fmt: skip

    def merge(self, user: str, device: str, **traits: Any) -> None:
        """Let a second person with a device agree and join the segment; then it turns out to be
        this one.
        """
        with self.sessions.begin() as session:
            record(
                session, "anonymous_id", device, dict.fromkeys((EMAIL, "profile.link"), "given"),
                collected_by="test", received_at=datetime.now(UTC),
            )  # fmt: skip
        body = {"anonymousId": device, "traits": {"plan": "pro", **traits}, "writeKey": self.key}
        self.server.post("/v1/identify", json=body).raise_for_status()
        self.settle()
        body = {"userId": user, "anonymousId": device, "event": "Seen", "writeKey": self.key}
        self.server.post("/v1/track", json=body).raise_for_status()

    def undo(self) -> None:
        """Undo the last merge."""
        merges = self.get("/v1/identity/merges")["data"]
        self.post(f"/v1/identity/merges/{merges[-1]['id']}/undo")

    def profile(self, who: str) -> str:
        """Return the profile id of an identifier, which is random."""
        with self.sessions() as session:
            person = persons.find(session, *identifiers.parse(who))
            assert person is not None, who
            return str(persons.profile_ids(session, [person])[person])

    def people(self, *users: str, **traits: Any) -> None:
        """Make people with an address each, who agree."""
        for user in users:
            self.say(user)
            self.identify(user, email=f"{user}@mail.net", **traits)
        self.work()

    def segment(self, key: str, rule: Mapping[str, Any]) -> None:
        body = {"key": key, "name": key, "purpose": EMAIL, "rule": rule}
        self.post("/v1/segments", body)

    def destination(self, **wanted: Any) -> Any:
        return self.post("/v1/destinations", {"purpose": EMAIL, "name": "there", **wanted})

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        answer = self.server.post(path, json=body, headers=self.header, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def patch(self, path: str, body: Any) -> Any:
        answer = self.server.patch(path, json=body, headers=self.header)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        answer = self.server.get(path, headers=self.header, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def work(self) -> None:
        """Let the worker's pipeline come to rest, and the syncs that were asked for."""
        idle = False
        while not idle:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle
        self.fill()

    def fill(self) -> None:
        """Queue whom syncs that were asked for tell of."""
        while portions.advance(self.sessions):
            pass

    def deliver(self, client: httpx.Client | None = None) -> None:
        """Send all that is due."""
        self.fill()
        with client or httpx.Client(timeout=5) as mine:
            while deliver(self.sessions, mine):
                pass

    def settle(self) -> None:
        """Work, and send what came of it."""
        self.work()
        self.deliver()

    def now(self) -> None:
        """Let what waits be due, and destinations take their turn, as if time had passed."""
        with self.sessions.begin() as session:
            session.execute(sa.update(Delivery).values(due_at=sa.func.now()))
            session.execute(sa.text("UPDATE app.destination SET not_before = now()"))

    def outcomes(self, destination: int, **params: Any) -> list[tuple[str, str, str | None]]:
        rows = self.get(f"/v1/destinations/{destination}/deliveries", **params)["data"]
        return [(row["type"], row["state"], row["reason"]) for row in rows]


Make = Callable[[], World]
