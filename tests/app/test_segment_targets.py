"""A step asks only the segments that its news concern, and misses nobody."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import Any

from fastapi.testclient import TestClient

from app import pipeline
from app.db import Sessions
from app.profiles import computed_traits, computing
from app.segments import concerns, looking, members, refreshing
from app.segments.tables import Segment

MAIL, OTHER, SERVICE = "marketing.email", "analytics.audience", "service.operation"
A, B = {"event": "A"}, {"event": "B"}
RULES: dict[str, Any] = {
    "a": A,
    "no-a": {"not": {**A, "count": {"gte": 2}}},
    "b-where": {**B, "where": [{"prop": "x", "op": "gte", "value": 2}]},
    "a-then-b": {"sequence": [A, B]},
    "a-without-b": {"sequence": [A, A], "without": [B]},
    "gold": {"trait": "plan", "value": "gold"},
    "team": {"group_trait": "plan", "value": "gold"},
    "inner": {"all": [{"segment": "a"}, {"not": {"segment": "gold"}}]},
    "spends": {"computed": "spent", "op": "gte", "value": 3},
    "agrees": {"consent": OTHER, "state": "allowed"},
    "one": {"identity": "deterministic"},
    "newcomers": {"not": {**A, "count": {"gte": 2}}},
}
#: Of a purpose that needs no consent: no word of theirs tells of who is new.
PURPOSES = {"newcomers": SERVICE}


def test_steps_leave_nothing_for_a_look_through_everybody(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    """Events, traits, accounts, computed traits, consents, new people and merges, at random."""
    header = token(purposes=(MAIL, OTHER, SERVICE))
    dice = random.Random(6)  # noqa: S311 -- a seeded test, no secret
    with sessions.begin() as session:
        computed_traits.put(
            session, key="spent", name="S", purpose=MAIL,
            definition={"kind": "sum", "event": "B", "prop": "x"},
        )  # fmt: skip
    while computing.advance(sessions):
        pass
    for key, rule in RULES.items():
        purpose = PURPOSES.get(key, MAIL)
        body = {"key": key, "name": key, "purpose": purpose, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    entered: set[str] = set()
    for _ in range(40):
        batch = [_message(dice) for _ in range(dice.randrange(1, 5))]
        answer = server.post("/v1/batch", json={"batch": batch, "writeKey": write_key})
        answer.raise_for_status()
        _settle(sessions)
        with sessions.begin() as session:
            listed = members.list_all(session)
            for purpose in (MAIL, SERVICE):
                group = [segment for segment in listed if segment.purpose == purpose]
                assert looking.look(session, group, now=datetime.now(UTC)).people == ()
            entered |= {s.key for s in listed if s.members}
    assert entered == set(RULES)


def _message(dice: random.Random) -> dict[str, Any]:
    user = f"u{dice.randrange(6)}"
    said = {MAIL: dice.random() < 0.8, OTHER: dice.random() < 0.5}
    context = {"consent": {"categoryPreferences": said}} if dice.random() < 0.6 else {}
    who: dict[str, Any] = {"userId": user, "context": context}
    if dice.random() < 0.3:
        who["anonymousId"] = f"d{dice.randrange(8)}"
    plan = {"plan": dice.choice(("gold", "free"))}
    kind = dice.choice(("track", "track", "track", "identify", "group"))
    if kind == "identify":
        return {"type": kind, **who, "traits": plan}
    if kind == "group":
        return {"type": kind, **who, "groupId": f"g{dice.randrange(2)}", "traits": plan}
    properties = {"x": dice.randrange(4)}
    return {"type": kind, **who, "event": dice.choice("ABC"), "properties": properties}


def _settle(sessions: Sessions) -> None:
    idle = False
    while not idle:
        with sessions.begin() as session:
            idle = pipeline.step(session).idle


def test_a_step_asks_those_segments_that_its_events_concern(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]],
    monkeypatch: Any,
) -> None:  # fmt: skip
    """Of 11 segments the event of a known person concerns some, and one that none names none."""
    header = token(purposes=(MAIL, OTHER))
    rules = {"a": A, "b": B, "gold": RULES["gold"], "inner": {"not": {"segment": "a"}}}
    for key, rule in rules.items():
        body = {"key": key, "name": key, "purpose": MAIL, "rule": rule}
        server.post("/v1/segments", json=body, headers=header).raise_for_status()
    asked: list[set[str]] = []
    real = refreshing.refresh

    def spy(session: Any, listed: list[Segment], **more: Any) -> Any:
        asked.append({segment.key for segment in listed})
        return real(session, listed, **more)

    monkeypatch.setattr(refreshing, "refresh", spy)

    def step(**message: Any) -> list[set[str]]:
        asked.clear()
        sent = {"userId": "u", "type": "track", **message}
        body = {"batch": [sent], "writeKey": write_key}
        server.post("/v1/batch", json=body).raise_for_status()
        _settle(sessions)
        return list(asked)

    step(event="C")
    assert step(event="C") == []
    assert step(event="A") == [{"a", "inner"}]
    assert step(event="B") == [{"b"}]
    assert step(type="identify", traits={"plan": "gold"}) == [{"gold"}]
    agrees = {"consent": {"categoryPreferences": {MAIL: True}}}
    assert set(rules) in step(event="C", context=agrees)


def test_many_who_are_told_little_of_are_asked_about_apart_from_few_who_are_new() -> None:
    """And together where that is cheaper."""
    event, trait = Segment(id=1, key="event"), Segment(id=2, key="trait")
    called = (None, "A")
    asks = {
        1: concerns.Concerns(frozenset({called}), False, False, False),
        2: concerns.Concerns(frozenset(), True, False, False),
    }

    def portions(new: set[int], known: set[int]) -> list[tuple[list[str], set[int]]]:
        news = concerns.News(frozenset(new), {called: known}, (), (), ())
        found = concerns.portions([event, trait], asks, news)
        return [([s.key for s in segments], whom) for segments, whom in found]

    assert portions({1}, {2, 3, 4, 5}) == [(["event", "trait"], {1}), (["event"], {2, 3, 4, 5})]
    assert portions({1}, {2, 3, 4}) == [(["event", "trait"], {1, 2, 3, 4})]
    assert portions(set(), {2}) == [(["event"], {2})]
    assert portions({1}, {1}) == [(["event", "trait"], {1})]
    assert portions(set(), set()) == []


def test_a_rule_changed_beside_a_step_that_it_did_not_concern_misses_nobody(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    header = token(purposes=(MAIL,))
    body = {"key": "s", "name": "s", "purpose": MAIL, "rule": A}
    server.post("/v1/segments", json=body, headers=header).raise_for_status()
    agrees = {"userId": "u", "context": {"consent": {"categoryPreferences": {MAIL: True}}}}

    def send(**more: Any) -> None:
        message = {"type": "identify", **agrees, **more}
        server.post(
            "/v1/batch", json={"batch": [message], "writeKey": write_key}
        ).raise_for_status()

    send(traits={"x": 1})
    _settle(sessions)
    send(traits={"plan": "gold"})
    changed = {"name": "s", "purpose": MAIL, "rule": RULES["gold"]}
    with ThreadPoolExecutor(1) as pool:
        with sessions.begin() as session:
            assert pipeline.step(session).events == 1
            answer = pool.submit(server.put, "/v1/segments/s", json=changed, headers=header)
            wait([answer], timeout=0.5)
        answer.result().raise_for_status()
    with sessions() as session:
        [segment] = members.list_all(session)
        assert segment.members == 1
