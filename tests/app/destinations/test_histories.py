"""Random histories: what two receivers have made of their messages, against what is allowed now.

People merge, are parted, agree, withdraw, change and are erased, in any order; messages arrive, or
their answers are lost, or nothing is sent for a while. In the end each receiver has who is in the
segment, by the identifiers that may be used, and nobody and nothing else.
"""

import json
import random
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.consents.permission import permissions
from app.consents.record import record
from app.privacy import requests as privacy_requests
from app.privacy import run
from app.segments.tables import SegmentMember
from app.settings import Settings
from identity import identifiers
from identity import people as persons
from tests.app.destinations.copies import Holds, of_calls, of_webhooks
from tests.app.destinations.world import EMAIL, World

pytestmark = pytest.mark.long


class History:
    """A world, two receivers in memory, and dice."""

    def __init__(self, people: World, settings: Settings, seed: int) -> None:
        self.people, self.settings = people, settings
        self.dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        self.users: list[str] = []
        self.devices: list[str] = []
        self.made = 0
        self.taken: dict[str, list[dict[str, Any]]] = {"/hook": [], "/v1/batch": []}
        self.loses = 0.0
        people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
        people.destination(name="hook", url="http://10.1.1.1/hook", segments=["pros"])
        people.destination(
            name="calls", kind="segment", segments=["pros"], secrets={"write_key": "wk"},
            settings={"url": "http://10.1.1.1/v1/batch", "user_id": "profile_id"}, mapping={},
        )  # fmt: skip
        for _ in range(3):
            self.user()
            self.device()

    def taking(self, request: httpx.Request) -> httpx.Response:
        """Take a message, and answer, or not."""
        if self.dice.random() < self.loses / 2:
            return httpx.Response(503)
        said = {"id": request.headers.get("webhook-id"), **json.loads(request.content)}
        self.taken[request.url.path].append(said)
        return httpx.Response(500 if self.dice.random() < self.loses else 200)

    def deliver(self, loses: float) -> None:
        self.loses = loses
        self.people.deliver(httpx.Client(transport=httpx.MockTransport(self.taking)))

    def user(self) -> None:
        self.made += 1
        name = f"u{self.made}"
        self.people.say(name)
        self.people.identify(name, email=f"{name}@mail.net", plan=self.dice.choice(("pro", "free")))
        self.users.append(name)

    def device(self) -> None:
        self.made += 1
        name = f"d{self.made}"
        with self.people.sessions.begin() as session:
            record(
                session, "anonymous_id", name, dict.fromkeys((EMAIL, "profile.link"), "given"),
                collected_by="test", received_at=datetime.now(UTC),
            )  # fmt: skip
        body = {"anonymousId": name, "traits": {"plan": self.dice.choice(("pro", "free"))}}
        self.post("/v1/identify", body)
        self.devices.append(name)

    def post(self, path: str, body: dict[str, Any]) -> None:
        answer = self.people.server.post(path, json={**body, "writeKey": self.people.key})
        answer.raise_for_status()

    def happen(self) -> str:
        """One of everything that can happen, and what follows it."""
        kind = self.dice.choice(
            (
                "meet",
                "meet",
                "undo",
                "undo",
                "withdrawn",
                "given",
                "plan",
                "user",
                "device",
                "erase",
            )
        )
        user = self.dice.choice(self.users)
        if kind == "meet":
            device = self.dice.choice(self.devices)
            self.post("/v1/track", {"userId": user, "anonymousId": device, "event": "Seen"})
        elif kind == "undo":
            merges = [m for m in self.people.get("/v1/identity/merges")["data"]
                      if m["undone_at"] is None]  # fmt: skip
            if merges:
                chosen = self.dice.choice(merges)["id"]
                self.people.post(f"/v1/identity/merges/{chosen}/undo")
        elif kind in ("withdrawn", "given"):
            self.people.say(user, kind, self.dice.choice((EMAIL, "profile.link")))
        elif kind == "plan":
            self.people.identify(user, plan=self.dice.choice(("pro", "free")))
        elif kind == "erase":
            self.erase(user)
        else:
            getattr(self, kind)()
        self.people.work()
        how = self.dice.choice(("arrives", "lost", "waits"))
        if how != "waits":
            self.deliver(0.5 if how == "lost" else 0.0)
        return kind

    def erase(self, user: str) -> None:
        with self.people.sessions.begin() as session:
            made = privacy_requests.open_(
                session, self.settings, kind="erasure",
                identifiers=[identifiers.parse(f"user_id:{user}")], by="test",
                now=datetime.now(UTC), attested="a test",
            )  # fmt: skip
            request = made.id
        run.at_once(self.people.sessions, self.settings, request)
        self.users.remove(user)
        self.user()

    def allowed(self) -> Holds:
        """Who is in the segment now, by the identifiers that may be used."""
        with self.people.sessions() as session:
            inside = set(
                session.scalars(
                    sa.select(SegmentMember.person_id).where(SegmentMember.left_at.is_(None))
                )
            )
            may = [p for p in permissions(session, EMAIL, inside) if p.allowed]
            profiles = persons.profile_ids(session, inside)
            names = {i.id: i for i in persons.identifiers(session, {p.identifier_id for p in may})}
        found: Holds = {}
        for one in may:
            name = names[one.identifier_id]
            known = found.setdefault(str(profiles[one.person_id]), {})
            known.setdefault(name.namespace, []).append(name.value)
        return {who: {k: sorted(v) for k, v in known.items()} for who, known in found.items()}

    def compare(self) -> None:
        for _ in range(4):
            self.people.now()
            self.people.work()
            self.deliver(0.0)
        wanted = self.allowed()
        told = of_webhooks(self.taken["/hook"])
        assert {who: one["identifiers"] for who, one in told.items()} == wanted
        assert all(one["segments"] == ["pros"] for one in told.values())
        ids = {who: one["ids"] for who, one in of_calls(self.taken["/v1/batch"]).items()}
        assert ids == {
            who: sorted(f"{space}:{value}" for space, some in known.items() for value in some)
            for who, known in wanted.items()
        }


@pytest.mark.parametrize("seed", range(6))
def test_receivers_hold_what_is_allowed_now_whatever_happened(
    people: World, settings: Settings, seed: int
) -> None:
    history = History(people, settings, seed)
    people.work()
    happened = set()
    for n in range(20):
        happened.add(history.happen())
        if n % 4 == 3:
            history.compare()
    assert len(happened) > 5, happened
