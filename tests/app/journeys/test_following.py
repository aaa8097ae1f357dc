"""People followed through a target: by what they do, and by the clock alone (§7, 63)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

import consent
from app import pipeline
from app.db import Sessions
from app.journeys import counting, following
from app.journeys.tables import JourneyDeviation, JourneyDue
from app.profiles import changes
from app.settings import Settings

PURPOSE = "analytics.audience"
YES = {"consent": {"categoryPreferences": {PURPOSE: True, consent.LINK: True}}}
JOURNEY: dict[str, Any] = {
    "key": "loan",
    "name": "Loan",
    "stages": [{"id": stage, "order": order} for order, stage in enumerate("abc")],
    "channels": ["web"],
    "touchpoints": [
        {"id": name, "stage": name.lower(), "channel": "web", "match": {"event": name}}
        for name in "ABC"
    ],
    "target": {"nodes": ["A", "B", "C"],
               "edges": [{"from": "A", "to": "B", "max_delay": "P2D"}]},
}  # fmt: skip


class World:
    """The product, with a clock that the follower is told."""

    def __init__(
        self, server: TestClient, sessions: Sessions, key: str, header: dict[str, str]
    ) -> None:
        self.server, self.sessions, self.key, self.header = server, sessions, key, header
        self.now = datetime.now(UTC)

    def track(self, who: dict[str, str], name: str, days_ago: float, **said: Any) -> None:
        at = (self.now - timedelta(days=days_ago)).isoformat()
        body = {**who, "event": name, "timestamp": at, "context": YES, "writeKey": self.key,
                "properties": said}  # fmt: skip
        self.server.post("/v1/track", json=body).raise_for_status()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.server.post(path, json=body, headers=self.header)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settle(self) -> None:
        idle = False
        while not idle:
            with self.sessions.begin() as session:
                idle = pipeline.step(session).idle

    def look(self, later: timedelta = timedelta(minutes=1)) -> list[tuple[str, str, str]]:
        """Let the follower do what is due, and return all deviations that are kept."""
        while following.advance(self.sessions, now=self.now + later):
            pass
        with self.sessions() as session:
            rows = session.scalars(sa.select(JourneyDeviation)).all()
            return sorted((row.kind, row.touchpoint, row.to_touchpoint) for row in rows)

    def told(self) -> list[dict[str, Any]]:
        with self.sessions() as session:
            found = changes.read(session, after=None, types=["journey.deviated"], limit=100)
            return [dict(row.data) for row in found.rows]

    def standing(self, ref: str) -> dict[str, Any]:
        url = f"/v1/profiles/{ref}/journeys?purpose={PURPOSE}"
        answer = self.server.get(url, headers=self.header)
        assert answer.status_code == 200, answer.text
        [found] = answer.json()["data"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def world(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> World:
    header = token(purposes=(PURPOSE,))
    server.post("/v1/journeys", json=JOURNEY, headers=header).raise_for_status()
    return World(server, sessions, write_key, header)


ADA = {"userId": "ada"}


def test_the_clock_alone_raises_a_deviation_once_and_a_late_event_takes_it_back(
    world: World,
) -> None:
    world.track(ADA, "A", 1.5)
    world.settle()
    assert world.look() == []
    on_time = world.standing("user_id:ada")
    assert (on_time["stage"], on_time["touchpoint"]) == ("a", "A")
    assert (on_time["target"]["expected"], on_time["target"]["deviations"]) == ("B", [])
    with world.sessions() as session:
        [timer] = session.scalars(sa.select(JourneyDue)).all()
    assert abs(timer.due_at - (world.now + timedelta(days=0.5))) < timedelta(milliseconds=1)
    assert world.look(timedelta(days=0.5, seconds=-1)) == []
    # No event at all: only the clock has passed.
    assert world.look(timedelta(days=0.5, seconds=1)) == [("late", "A", "B")]
    [news] = world.told()
    assert (news["journey"], news["purpose"], news["kind"]) == ("loan", PURPOSE, "late")
    assert world.look(timedelta(days=1)) == [("late", "A", "B")]
    assert len(world.told()) == 1
    # It had happened in time and came late.
    world.track(ADA, "B", 0.1)
    world.settle()
    assert world.look(timedelta(days=1)) == []
    assert len(world.told()) == 1


def test_merges_withdrawals_and_another_target_are_followed(world: World) -> None:
    device = {"anonymousId": "d-1"}
    world.track(device, "A", 3.0)
    world.track(ADA, "B", 2.5)
    world.settle()
    assert world.look() == [("late", "A", "B"), ("skipped", "A", "")]
    identify = {**device, **ADA, "context": YES, "writeKey": world.key}
    world.server.post("/v1/identify", json=identify).raise_for_status()
    world.settle()
    assert world.look() == []  # one person, who has done A and then B
    [merge] = world.server.get("/v1/identity/merges", headers=world.header).json()["data"]
    world.post(f"/v1/identity/merges/{merge['id']}/undo", {})
    assert world.look() == [("late", "A", "B"), ("skipped", "A", "")]

    target = {"nodes": ["A", {"touchpoint": "B", "optional": True}, "C"]}
    world.post("/v1/journeys", {**JOURNEY, "target": target})
    assert world.look() == [("skipped", "A", "")]
    world.post("/v1/journeys", {**JOURNEY, "target": None})
    assert world.look() == []
    world.post("/v1/journeys", JOURNEY)
    assert world.look() == [("late", "A", "B"), ("skipped", "A", "")]

    withdrawn = {
        "subject": {"namespace": "user_id", "value": "ada"},
        "decisions": [{"purpose": PURPOSE, "state": "withdrawn"}],
        "evidence": {"method": "test"},
    }
    world.post("/v1/consents", withdrawn)
    world.settle()
    assert world.look() == [("late", "A", "B")]


def test_nobody_who_has_written_computes(
    world: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that has written holds up whoever reads events in commit order."""
    world.post("/v1/journeys", {**JOURNEY, "key": "other"})
    world.track(ADA, "A", 1.0)
    world.settle()
    writing: list[int] = []
    compute = counting.compute

    def watched(*arguments: Any, **named: Any) -> list[dict[str, Any]]:
        with world.sessions() as session:
            writing.append(
                session.scalar(
                    sa.text(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND backend_xid IS NOT NULL"
                    )
                )
                or 0
            )
        return compute(*arguments, **named)

    monkeypatch.setattr(counting, "compute", watched)
    assert counting.refresh(world.sessions, settings.lake_dir) == 2
    assert writing == [0, 0]


def test_a_profile_says_where_it_stands_and_what_others_did_next(
    world: World, settings: Settings
) -> None:
    for n in range(8):
        who = {"userId": f"u-{n}"}
        world.track(who, "A", 5.0)
        world.track(who, "B" if n < 6 else "C", 4.0)
    world.track(ADA, "A", 1.0)
    world.settle()
    assert counting.refresh(world.sessions, settings.lake_dir) == 1
    assert counting.refresh(world.sessions, settings.lake_dir) == 0  # of this hour
    found = world.standing("user_id:ada")
    # Nine were at A. Fewer than five went on to C: that is not kept.
    assert found["next"] == [
        {"touchpoint": "B", "share": 6 / 9, "median_seconds": 86_400.0, "given": 1}
    ]
    other = world.standing("user_id:u-7")
    assert other["stage"] == "c"
    assert [(d["kind"], d["touchpoint"]) for d in other["target"]["deviations"]] == [
        ("skipped", "B")
    ]
    assert (other["target"]["state"], other["target"]["expected"]) == ("completed", None)


def test_the_feed_tells_nothing_of_the_way_of_who_has_withdrawn(world: World) -> None:
    bea, device = {"userId": "bea"}, {"anonymousId": "d-1"}
    for who in (ADA, bea, device):
        world.track(who, "A", 3.0)
    world.settle()
    assert world.look() == [("late", "A", "B")] * 3

    def told() -> int:
        url = "/v1/changes?types=journey.deviated"
        page = world.server.get(url, headers=world.header).json()["data"]
        return len(page)

    assert told() == 3
    identify = {**device, **bea, "context": YES, "writeKey": world.key}
    world.server.post("/v1/identify", json=identify).raise_for_status()
    world.settle()
    assert told() == 3  # of bea and what was her device
    for user, left in (("ada", 2), ("bea", 0)):
        withdrawn = {
            "subject": {"namespace": "user_id", "value": user},
            "decisions": [{"purpose": PURPOSE, "state": "withdrawn"}],
            "evidence": {"method": "test"},
        }
        world.post("/v1/consents", withdrawn)
        world.settle()
        assert told() == left
    assert len(world.told()) == 3  # as it is kept


def test_a_map_that_matches_by_traits_is_followed_by_the_clock_too(world: World) -> None:
    trial = {"type": "identify", "prop": "plan", "value": "trial"}
    points = [{**point, "match": trial} if point["id"] == "A" else point
              for point in JOURNEY["touchpoints"]]  # fmt: skip
    world.post("/v1/journeys", {**JOURNEY, "touchpoints": points})
    at = (world.now - timedelta(days=1.5)).isoformat()
    for plan, who in (("trial", ADA), ("paid", {"userId": "bob"})):
        body = {**who, "traits": {"plan": plan}, "timestamp": at, "context": YES}
        sent = world.server.post("/v1/identify", json={**body, "writeKey": world.key})
        sent.raise_for_status()
    world.settle()
    assert world.look() == []
    # No event at all: the clock passes what may lie between the trial and what follows it.
    assert world.look(timedelta(days=0.5, seconds=1)) == [("late", "A", "B")]
    assert [one["kind"] for one in world.told()] == ["late"]
    assert world.standing("user_id:ada")["touchpoint"] == "A"
    assert world.standing("user_id:bob")["touchpoint"] is None


def test_of_somebody_with_many_events_each_kind_is_read_once(world: World) -> None:
    """Of 100,000 events all rows were read, with properties that no touchpoint asks for: 5 s."""
    asking = {"any": [{"event": "C"}, {"event": "B", "prop": "kind", "value": "c"}]}
    points = [{**point, "match": asking} if point["id"] == "C" else point
              for point in JOURNEY["touchpoints"]]  # fmt: skip
    world.post("/v1/journeys", {**JOURNEY, "touchpoints": points})
    for step in range(30):
        for name in ("A", "B", "Elsewhere"):
            world.track(ADA, name, 3 - step / 100, kind="b", n=step)
    world.settle()
    read: list[int] = []

    def count(_c: Any, cursor: Any, text: str, *_: Any) -> None:
        if "app.event" in text:
            read.append(cursor.rowcount)

    engine = world.sessions.kw["bind"]
    sa.event.listen(engine, "after_cursor_execute", count)
    try:
        here = world.standing("user_id:ada")
        world.look()
    finally:
        sa.event.remove(engine, "after_cursor_execute", count)
    assert (here["stage"], here["touchpoint"]) == ("b", "B")
    assert (here["target"]["state"], here["target"]["expected"]) == ("open", "C")
    assert len(here["target"]["deviations"]) == 58
    assert read
    assert max(read) <= 3  # A, B, and all of hers together
