"""Funnel steps, paths, cells, segments and listed profiles are one number, whatever happens.

Over the product's own API: devices log in (merges), merges are undone, events come late, people
withdraw. The reference is a list of what was sent and a dictionary of who is who.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.db import Sessions
from app.profiles import read
from identity import people as identity

PURPOSE = "analytics.audience"
YES = {"consent": {"categoryPreferences": {PURPOSE: True, consent.LINK: True}}}
PAST = datetime(2026, 1, 1, tzinfo=UTC)
JOURNEY = {
    "key": "abc",
    "name": "ABC",
    "stages": [{"id": stage, "order": order} for order, stage in enumerate("abc")],
    "channels": ["web"],
    "touchpoints": [
        {"id": name, "stage": name.lower(), "channel": "web", "match": {"event": name}}
        for name in "ABC"
    ],
}
STEPS = [{"event": name} for name in "ABC"]


class World:
    """The product, and beside it what was sent by whom, for a count without any database."""

    def __init__(
        self, server: TestClient, sessions: Sessions, key: str, header: dict[str, str], seed: int
    ) -> None:
        self.server, self.sessions, self.key, self.header = server, sessions, key, header
        self.dice = random.Random(seed)  # noqa: S311 - reproducible histories, not a secret
        self.sent: dict[str, list[tuple[int, str]]] = {}
        self.owner: dict[str, str] = {}
        self.gone: set[str] = set()
        self.logins: list[str] = []
        self.second = 0
        #: Of each segment made of a number, the identifiers that its people were named after.
        self.segments: dict[str, list[str]] = {}

    def track(self, who: str, count: int) -> None:
        """Some events of an identifier, at random moments of the past, each at its own."""
        namespace = "anonymousId" if who.startswith("d") else "userId"
        for _ in range(count):
            self.second += 1
            moment = self.dice.randrange(20_000) * 1_000 + self.second
            name = self.dice.choice("AABBCX")
            at = (PAST + timedelta(seconds=moment)).isoformat()
            self.post("/v1/track", {namespace: who, "event": name, "timestamp": at})
            self.sent.setdefault(who, []).append((moment, name))
            self.owner.setdefault(who, who)

    def post(self, path: str, body: dict[str, Any]) -> None:
        answer = self.server.post(path, json={**body, "context": YES, "writeKey": self.key})
        answer.raise_for_status()

    def log_in(self, device: str, user: str) -> None:
        self.post("/v1/identify", {"anonymousId": device, "userId": user})
        self.owner[device] = self.owner[user]
        self.logins.append(user)

    def withdraw(self, user: str) -> None:
        body = {
            "subject": {"namespace": "user_id", "value": user},
            "decisions": [{"purpose": PURPOSE, "state": "withdrawn"}],
            "evidence": {"method": "test"},
        }
        answer = self.server.post("/v1/consents", json=body, headers=self.header)
        answer.raise_for_status()
        self.gone.add(self.owner[user])

    def settle(self) -> None:
        idle = False
        while not idle:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle

    def histories(self) -> dict[str, str]:
        """The letters of each person who may be looked at, in the order of time."""
        events: dict[str, list[tuple[int, str]]] = {}
        for who, sent in self.sent.items():
            if self.owner[who] not in self.gone:
                events.setdefault(self.owner[who], []).extend(sent)
        return {who: "".join(name for _, name in sorted(es)) for who, es in events.items()}

    def profile_ids(self, owners: list[str]) -> set[str]:
        refs = [f"{'anonymous_id' if o.startswith('d') else 'user_id'}:{o}" for o in owners]
        with self.sessions() as session:
            found = {read.find(session, ref).person_id for ref in refs}
            return {str(one) for one in identity.profile_ids(session, found).values()}

    def ask(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.server.post(f"/v1/analyses/{kind}", json=body, headers=self.header)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def make_segment(self, answer: dict[str, Any], bucket: str, owners: list[str]) -> None:
        """Make a segment of a number, and note whom it is of."""
        key = f"made-{len(self.segments)}"
        url = f"/v1/analyses/{answer['query_id']}/segment"
        body = {"bucket": bucket, "key": key, "name": key}
        made = self.server.post(url, json=body, headers=self.header)
        assert made.status_code == 201, made.text
        assert made.json()["size"] == len(owners)
        oldest: dict[str, str] = {}
        for who, owner in self.owner.items():  # in the order in which they were first seen
            oldest.setdefault(owner, who)
        self.segments[key] = [oldest[owner] for owner in owners]

    def check_segments(self) -> None:
        """Every segment made so far has the people it was made of, as they are now."""
        for key, named_after in self.segments.items():
            url = f"/v1/segments/{key}/members?limit=1000"
            page = self.server.get(url, headers=self.header).json()
            owners = {self.owner[who] for who in named_after} - self.gone
            members = [one["profile_id"] for one in page["data"]]
            assert set(members) == self.profile_ids(sorted(owners)), key
            assert len(members) == len(owners), key

    def behind(self, answer: dict[str, Any], bucket: str, limit: int = 7) -> list[str]:
        """All pages of the profiles behind a number."""
        listed: list[str] = []
        cursor: str | None = None
        while True:
            params = {"bucket": bucket, "limit": str(limit)}
            params |= {"cursor": cursor} if cursor else {}
            page = self.server.get(
                f"/v1/analyses/{answer['query_id']}/profiles", params=params, headers=self.header
            )
            assert page.status_code == 200, page.text
            body = page.json()
            assert body["warnings"] == []
            assert len(body["data"]) <= limit
            listed += [one["profile_id"] for one in body["data"]]
            cursor = body["next_cursor"]
            if cursor is None:
                assert len(listed) == body["n_profiles"] - sum(body["withheld"].values())
                return listed


def steps_of(letters: str) -> int:
    """How far a person comes: A, later B, later C, by the best entry and without a window."""
    depth, at = 0, -1
    for name in "ABC":
        at = letters.find(name, at + 1)
        if at < 0:
            return depth
        depth += 1
    return depth


def reconciled(world: World) -> dict[str, Any]:
    """Ask everything, compare it with the plain count and with the profiles listed."""
    histories = world.histories()
    depth = {who: steps_of(letters) for who, letters in histories.items()}
    funnel = world.ask("funnel", {"steps": STEPS})
    for number, step in enumerate(funnel["result"]["steps"], start=1):
        expected = [who for who, reached in depth.items() if reached >= number]
        assert step["n"] == len(expected)
        listed = world.behind(funnel, step["bucket"])
        assert set(listed) == world.profile_ids(expected)
        assert len(listed) == len(expected)
        if number == 2 and len(world.segments) < 3:
            world.make_segment(funnel, step["bucket"], expected)
    world.check_segments()
    calls = sum(world.owner[user] not in world.gone for user in world.logins)
    assert funnel["n_events"] == sum(map(len, histories.values())) + calls
    assert funnel["n_profiles"] == len(histories)

    ways = world.ask("paths", {"start": {"event": "A"}, "max_depth": None, "collapse": False})[
        "result"
    ]
    expected_routes = sorted(
        letters[letters.index("A") :] for letters in histories.values() if "A" in letters
    )
    found = [route for one in ways["variants"] for route in ["".join(one["route"])] * one["n"]]
    assert sorted(found) == expected_routes
    assert ways["paths"] == funnel["result"]["steps"][0]["n"]
    assert funnel["result"]["steps"][1]["n"] == sum(
        one["n"] for one in ways["variants"] if "B" in one["route"]
    )

    matrix = world.ask("matrix", {"journey": "abc"})
    for cell in matrix["result"]["cells"]:
        expected = [who for who, ls in histories.items() if cell["stage"].upper() in ls]
        assert cell["profiles"] == len(expected)
        assert set(world.behind(matrix, cell["bucket"])) == world.profile_ids(expected)
    return funnel


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Any,
) -> World:
    header = token(purposes=(PURPOSE,))
    world = World(server, sessions, write_key, header, getattr(request, "param", 0))
    server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    return world


def live(world: World, people_: int) -> None:
    """Merges, late events, withdrawals and a split, and after each of them all numbers agree."""
    for n in range(people_):
        world.track(f"d-{n}", world.dice.randrange(1, 5))
        world.track(f"u-{n}", world.dice.randrange(1, 5))
    world.settle()
    before = reconciled(world)

    for n in range(0, people_, 2):
        world.log_in(f"d-{n}", f"u-{n}")
    world.settle()
    merged = reconciled(world)
    assert merged["identity_version"] > before["identity_version"]
    assert merged["fingerprint"] != before["fingerprint"]

    for n in range(0, people_, 3):
        world.track(f"u-{n}", 2)  # at moments between the others
    world.settle()
    reconciled(world)
    again = world.ask("funnel", {"steps": STEPS, "as_of": merged["as_of"]})
    for part in ("query_id", "result", "n_events", "n_profiles", "fingerprint"):
        assert again[part] == merged[part], part

    for n in (1, 2):
        world.withdraw(f"u-{n}")
    world.settle()
    reconciled(world)

    merges = world.server.get("/v1/identity/merges", headers=world.header).json()["data"]
    with world.sessions() as session:
        wanted = {read.find(session, f"user_id:u-{n}").person_id for n in (4,)}
    [merge] = [one for one in merges if world_merge(world, one) in wanted]
    undone = world.server.post(f"/v1/identity/merges/{merge['id']}/undo", headers=world.header)
    assert undone.status_code in (200, 201), undone.text
    world.owner["d-4"] = "d-4"
    world.settle()
    reconciled(world)


def world_merge(world: World, merge: dict[str, Any]) -> int | None:
    with world.sessions() as session:
        return read.find(session, merge["survivor"]).person_id


def test_numbers_reconcile_over_merges_late_events_withdrawals_and_splits(world: World) -> None:
    live(world, 6)


@pytest.mark.long
@pytest.mark.parametrize("world", [11, 12], indirect=True)
def test_numbers_reconcile_for_more_people(world: World) -> None:
    live(world, 14)
