"""A rule that cannot be computed costs its own segment alone, and everybody hears of it."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from api.cli import doctor
from app import pipeline
from app.db import Sessions
from app.profiles import computing
from app.segments import looking, members, refreshing
from app.segments.tables import Segment

PURPOSE = "marketing.email"
YES = {"consent": {"categoryPreferences": {PURPOSE: True}}}
#: Beyond what PostgreSQL's numeric holds; nothing lets it in, and it can be in old data.
HUGE = "1e200000"
Header = dict[str, str]


def segment(server: TestClient, header: Header, key: str) -> dict[str, Any]:
    return dict(server.get(f"/v1/segments/{key}", headers=header).json())


def reasons(server: TestClient) -> list[str]:
    found = server.get("/readyz").json()["reasons"]
    return [reason for reason in found if reason.startswith("the segment")]


@pytest.fixture
def said(server: TestClient, sessions: Sessions, write_key: str) -> Callable[..., None]:
    """Have somebody do something, and the pipeline take it."""

    def say(user: str, event: str = "Order", context: Any = YES, **traits: Any) -> None:
        common = {"userId": user, "context": context, "writeKey": write_key}
        if traits:
            server.post("/v1/identify", json={**common, "traits": traits}).raise_for_status()
        server.post("/v1/track", json={**common, "event": event}).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)

    return say


def test_a_number_too_large_stops_its_segment_and_no_other(
    server: TestClient,
    sessions: Sessions,
    token: Callable[..., Header],
    said: Callable[..., None],
) -> None:
    header = token(purposes=(PURPOSE,))
    rich = {"trait": "n", "op": "gt", "value": 5}
    for key, rule in (("rich", rich), ("buyers", {"event": "Order"}),
                      ("nested", {"all": [{"segment": "rich"}]})):  # fmt: skip
        body = {"key": key, "name": key, "purpose": PURPOSE, "rule": rule}
        made = server.post("/v1/segments", json=body, headers=header)
        assert (made.status_code, made.json()["state"]) == (201, "fresh")
    said("ada", n=9)
    said("bea", n=9)
    with sessions.begin() as session:
        session.execute(
            sa.text(
                "UPDATE app.trait SET value = CAST(:huge AS json) WHERE identifier_id ="
                " (SELECT id FROM identity.identifier WHERE value = 'bea')"
            ),
            {"huge": HUGE},
        )
    said("bea", m=1)  # of another trait: steps ask whoever has news of one
    said("ada", m=1)
    said("cleo", n=9)  # a step in which the rule is asked of nobody whose number is too large
    found = {key: segment(server, header, key) for key in ("rich", "buyers", "nested")}
    assert found["buyers"]["state"] == "fresh"
    assert found["buyers"]["size"] == 3
    for key in ("rich", "nested"):
        assert found[key]["state"] == "error"
        assert found[key]["error"] == "PostgreSQL refuses (NumericValueOutOfRange, 22003)"
        assert found[key]["size"] == 2  # who was in is in; nobody comes in
    assert [reason.split(" is stuck")[0] for reason in reasons(server)] == [
        "the segment nested", "the segment rich",
    ]  # fmt: skip
    with sessions() as session, pytest.raises(doctor._Wrong, match="rich: PostgreSQL refuses"):
        doctor._segments(session)
    since = found["rich"]["failed_at"]
    said("ada", context={"consent": {"categoryPreferences": {PURPOSE: False}}})
    assert segment(server, header, "rich")["size"] == 1
    pipeline.refresh_all(sessions)
    still = segment(server, header, "rich")
    assert (still["state"], still["failed_at"]) == ("error", since)
    refused = {"key": "new", "name": "n", "purpose": PURPOSE, "rule": rich}
    made = server.post("/v1/segments", json=refused, headers=header)
    assert (made.status_code, made.json()["state"], made.json()["size"]) == (201, "error", 0)

    changed = {"name": "Rich", "purpose": PURPOSE, "rule": {"trait": "n", "op": "exists"}}
    answer = server.put("/v1/segments/rich", json=changed, headers=header)
    assert (answer.json()["state"], answer.json()["size"]) == ("fresh", 2)
    with sessions.begin() as session:
        again = "UPDATE app.trait SET value = '9' WHERE CAST(value AS text) = :huge"
        session.execute(sa.text(again), {"huge": HUGE})
    for _ in range(2):  # the first finds that it can be computed again, and steps take it from then
        pipeline.refresh_all(sessions)
    assert reasons(server) == []
    assert [segment(server, header, key)["size"] for key in ("nested", "new")] == [2, 2]


def test_a_rule_that_takes_too_long_is_given_up_and_the_others_are_computed(
    server: TestClient,
    sessions: Sessions,
    token: Callable[..., Header],
    said: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits for a lock that another transaction holds, as it would behind an ALTER TABLE."""
    header = token(purposes=(PURPOSE,))
    definition = {"kind": "count", "event": "Order"}
    body = {"name": "S", "purpose": PURPOSE, "definition": definition}
    server.put("/v1/computed-traits/sum", json=body, headers=header).raise_for_status()
    while computing.advance(sessions):
        pass
    for key, rule in (("sums", {"computed": "sum", "op": "gte", "value": 1}),
                      ("buyers", {"event": "Order"})):  # fmt: skip
        body = {"key": key, "name": key, "purpose": PURPOSE, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    monkeypatch.setattr(refreshing, "STEP_SECONDS", 1.0)
    monkeypatch.setattr(computing, "LONGEST_SECONDS", 0.2)
    with sessions() as other:
        other.execute(sa.text("LOCK TABLE app.computed_value IN ACCESS EXCLUSIVE MODE"))
        said("ada")
    trait = server.get("/v1/computed-traits/sum", headers=header).json()
    assert (trait["state"], trait["error"]) == ("error", "took longer than 0.2 s")
    found = {key: segment(server, header, key) for key in ("sums", "buyers")}
    assert (found["buyers"]["state"], found["buyers"]["size"]) == ("fresh", 1)
    assert (found["sums"]["state"], found["sums"]["waits_for"]) == ("waiting", ["sum"])

    later = datetime.now(UTC) + 2 * computing.RETRY
    while computing.advance(sessions, now=later):
        pass
    with sessions() as other:
        other.execute(sa.text("LOCK TABLE app.people_list_member IN ACCESS EXCLUSIVE MODE"))
        with sessions.begin() as session:
            listed = {
                "listed": "l",
                "query_id": "q",
                "bucket": "b",
                "as_of": "2026-11-28T00:00:00Z",
            }
            query = sa.text("UPDATE app.segment SET rule = :rule WHERE key = 'sums'")
            session.execute(query.bindparams(sa.bindparam("rule", listed, JSONB)))
        said("bea")
    found = {key: segment(server, header, key) for key in ("sums", "buyers")}
    assert (found["buyers"]["state"], found["buyers"]["size"]) == ("fresh", 2)
    assert (found["sums"]["state"], found["sums"]["error"]) == ("error", "took longer than 0.5 s")


def test_a_segment_that_nobody_looks_through_is_told_of(
    server: TestClient, sessions: Sessions, token: Callable[..., Header]
) -> None:
    body = {"key": "s", "name": "s", "purpose": PURPOSE, "rule": {"event": "Order"}}
    server.post("/v1/segments", json=body, headers=token(purposes=(PURPOSE,))).raise_for_status()
    assert reasons(server) == []
    late = datetime.now(UTC) - looking.LATE - timedelta(seconds=1)
    with sessions.begin() as session:
        session.execute(sa.text("UPDATE app.segment SET tried_at = :late"), {"late": late})
    [reason] = reasons(server)
    assert reason.endswith("not looked through")
    assert pipeline.refresh_next(sessions)
    assert reasons(server) == []


def test_purposes_are_looked_through_side_by_side_and_fail_alone(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("analytics.audience", PURPOSE)
    with sessions.begin() as session:
        for key in keys:
            members.create(session, key=key, name=key, purpose=key, rule={"event": "A"}, by="test")
    both = threading.Barrier(2, timeout=30)
    really = looking.look

    def look(session: Session, listed: Sequence[Segment], *, now: datetime) -> looking.Look:
        both.wait()  # for ever, if one waited for the other
        if listed[0].key == PURPOSE:
            raise RuntimeError("as if this one could not be looked through")
        return really(session, listed, now=now)

    monkeypatch.setattr(looking, "look", look)
    before = datetime.now(UTC)
    with pytest.raises(RuntimeError, match="could not be looked through"):
        pipeline.refresh_all(sessions)
    with sessions() as session:
        seen = {s.key for s in members.list_all(session) if (s.refreshed_at or before) > before}
    assert seen == {keys[0]}


def test_a_look_finds_a_wrong_stay_in_any_of_many_segments(
    server: TestClient, sessions: Sessions, token: Callable[..., Header], said: Callable[..., None]
) -> None:
    """Answers of sixty segments are kept in one number; these need three."""
    token(purposes=(PURPOSE,))
    with sessions.begin() as session:
        made = [
            members.create(
                session, key=f"s{n}", name="s", purpose=PURPOSE, rule={"event": "Order"}, by="test"
            ).id
            for n in range(125)
        ]
    said("ada")

    def wrong() -> tuple[int, ...]:
        with sessions.begin() as session:
            listed = [s for s in members.list_all(session) if s.id in made]
            return looking.look(session, listed, now=datetime.now(UTC)).people

    assert wrong() == ()
    [ada] = _in_all(sessions, made)
    ended = sa.text("UPDATE app.segment_member SET left_at = :at WHERE segment_id = :id")
    for place in (0, 1, 59, 60, 61, 119, 120, 124):
        with sessions.begin() as session:
            session.execute(ended, {"at": datetime.now(UTC), "id": made[place]})
        assert wrong() == (ada,), place
        with sessions.begin() as session:
            session.execute(ended, {"at": None, "id": made[place]})
        assert wrong() == (), place


def _in_all(sessions: Sessions, made: list[int]) -> set[int]:
    """Return who is in all of these segments."""
    query = sa.text(
        "SELECT person_id FROM app.segment_member WHERE left_at IS NULL AND segment_id = ANY(:made)"
        " GROUP BY person_id HAVING count(*) = :all"
    )
    with sessions() as session:
        return set(session.scalars(query, {"made": made, "all": len(made)}))
