"""The golden record against a slow reference in plain Python, on random histories."""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

import consent
from app import pipeline
from app.db import Sessions
from app.errors import DefinitionInvalid
from app.events import stream
from app.profiles import history, read, trait_rules
from app.profiles.project import project
from app.profiles.survivorship import NAMES
from app.segments import compile as compiled
from app.segments.definition import RULE
from tests.app.profiles.histories import NOW, PURPOSE, Event, World

Said = tuple[tuple[Any, ...], Any, Event]


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def reference(rule: str, priority: list[str], said: list[Said]) -> Any:
    """Return what survives, from all that was said; None where nothing does."""
    said = sorted(said, key=lambda s: s[0])
    if rule == "source_priority":
        for source in [*priority, None]:
            heard = [s for s in said if (s[2].source == source if source
                                         else s[2].source not in priority)]  # fmt: skip
            ends = {s[2].source: s for s in heard}.values()
            kept = [s for s in sorted(ends, key=lambda s: s[0]) if s[1] is not None]
            if kept:
                return kept[-1][1]
        return None
    if not said or said[-1][1] is None:
        return None
    values = [s[1] for s in said if s[1] is not None]
    if rule == "latest":
        return values[-1]
    if rule == "first":
        return values[0]
    if rule == "most_frequent":
        times = Counter(map(text, values))
        most = max(times.values())
        return next(v for v in reversed(values) if times[text(v)] == most)
    if rule == "union":
        flat = [v for one in values for v in (one if isinstance(one, list) else [one])]
        return [
            json.loads(t) for t in dict.fromkeys(text(v) for v in flat if v is not None)
        ] or None
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    texts = [v for v in values if isinstance(v, str)]
    if rule == "longest":
        return next(v for v in reversed(texts) if len(v) == max(map(len, texts))) if texts else (
            values[-1])  # fmt: skip
    kind: list[Any] = numbers or texts
    return (max if rule == "max" else min)(kind) if kind else values[-1]


def said_of(world: World, identifiers: list[int], key: str) -> list[Said]:
    return [
        (e.order, e.properties[key], e)
        for e in world.usable(identifiers)
        if e.type == "identify" and key in e.properties
    ]


def traits(session: Session, identifiers: list[int]) -> dict[str, Any]:
    view = read.View(0, 0, None, PURPOSE, tuple(sorted(identifiers)), ())  # type: ignore[arg-type]  # no profile is asked for
    return {key: trait.value for key, trait in read.traits(session, view).items()}


def take(world: World, number: int) -> None:
    """The pipeline projects what happened, in batches and in any order."""
    outlines = world.outlines(world.happen(number))
    for part in (outlines[::3], outlines[1::3], outlines[2::3]):
        project(world.session, part)
    if outlines:
        stream.done(world.session, "pipeline", outlines[0])
    world.session.execute(
        sa.text("UPDATE app.progress SET event_id = :last WHERE reader = 'pipeline'"),
        {"last": 2 * 10**9},
    )


def compare(world: World, rule: str, priority: list[str], seen: Counter[str]) -> None:
    """Every person's traits, read one by one and as a segment, are those of the reference."""
    purpose = consent.catalogue.purpose(world.session, PURPOSE)
    expected: dict[str, dict[int, Any]] = {"x": {}, "y": {}}
    for person, identifiers in world.persons().items():
        found = traits(world.session, identifiers) if identifiers else {}
        for key in "xy":
            wanted = reference(rule, priority, said_of(world, identifiers, key))
            assert text(found.get(key)) == text(wanted), (rule, key)
            expected[key][person] = wanted
            seen["there" if wanted is not None else "absent"] += 1
    for key in "xy":
        for value in {text(v) for v in expected[key].values() if v is not None}:
            condition = RULE.validate_python({"trait": key, "value": json.loads(value)})
            inside = compiled.members(world.session, condition, purpose, now=NOW)
            wanted_people = {p for p, v in expected[key].items() if v is not None
                             and text(v) == value}  # fmt: skip
            assert inside & expected[key].keys() == wanted_people, (rule, value)


@pytest.mark.parametrize("rule", NAMES)
def test_what_survives_is_what_a_slow_reference_says(session: Session, rule: str) -> None:
    """Late events, merges, undo, refusals; and the rule is set when half has happened."""
    world = World(session, random.Random(rule))  # noqa: S311 -- a seeded test, no secret
    world.begin(9)
    seen: Counter[str] = Counter()
    take(world, 45)
    names = {i: n for n, i in world.sources.items()}
    real = {n: session.scalar(sa.text("SELECT name FROM app.source WHERE id = :i"), {"i": i})
            for i, n in names.items()}  # fmt: skip
    priority = ["shop", "crm"] if rule == "source_priority" else []
    for key in "xy":
        trait_rules.put(session, key, rule, tuple(str(real[p]) for p in priority), by="test")
    while _looks_through(session):
        pass
    assert {s.state for s in trait_rules.list_all(session)} == {"in_force"}
    compare(world, rule, priority, seen)
    for n in range(5):
        take(world, 9)
        for _ in range(2):
            world.move()
        if n % 3 == 2:
            world.say(
                world.dice.sample(world.ids, 2), world.dice.choice(("withdrawn", "given")), NOW
            )
        compare(world, rule, priority, seen)
    assert min(seen["there"], seen["absent"]) > 10, seen
    rows = session.execute(sa.text("SELECT * FROM app.trait_value ORDER BY 1, 2, 3, 4")).all()
    history.rebuild(session, world.ids, trait_rules.counted(session))
    again = session.execute(sa.text("SELECT * FROM app.trait_value ORDER BY 1, 2, 3, 4")).all()
    assert again == rows
    assert bool(rows) == (rule not in ("latest", "source_priority"))


def _looks_through(session: Session) -> bool:
    """One portion, within the test's own transaction."""

    within = sessionmaker(session.connection(), join_transaction_mode="create_savepoint")
    return history.advance(within)


def test_a_rule_is_checked_and_says_what_was_meant(session: Session) -> None:
    wrong: list[tuple[str, str, tuple[str, ...], str]] = [
        ("x", "most_frequnt", (), "did you mean most_frequent"),
        ("x", "source_priority", (), "source_priority names them"),
        ("x", "latest", ("crm",), "no other rule does"),
        ("x", "source_priority", ("nobody",), "no source is called nobody"),
        ("x", "source_priority", ("a", "a"), "each once"),
        ("", "first", (), "1 to 512 bytes"),
        ("é" * 300, "first", (), "1 to 512 bytes"),
    ]
    for key, rule, priority, said in wrong:
        with pytest.raises(DefinitionInvalid, match=said):
            trait_rules.put(session, key, rule, priority, by="test")
    assert trait_rules.list_all(session) == []


def test_a_conflict_is_visible_with_its_provenance_and_a_rule_settles_it(
    server: TestClient, sessions: Sessions, write_key: str, token: Callable[..., dict[str, str]]
) -> None:
    """Two sources about one person, over the API; the worker counts what was said before."""
    header = token(purposes=("service.operation",))
    crm = server.post("/v1/sources", json={"name": "crm"}, headers=header).json()["write_key"]
    said = [(crm, "Lyon", "m-1"), (crm, "Lyon", "m-2"), (write_key, "Paris", "m-3")]
    for number, (key, town, message) in enumerate(said):
        event = {
            "userId": "ada", "traits": {"city": town}, "messageId": message, "writeKey": key,
            "timestamp": f"2026-05-0{number + 1}T00:00:00Z",
        }  # fmt: skip
        server.post("/v1/identify", json=event).raise_for_status()
    with sessions.begin() as session:
        pipeline.step(session)

    def city() -> dict[str, Any]:
        path = "/v1/profiles/user_id:ada/traits?purpose=service.operation"
        [found] = server.get(path, headers=header).json()["data"]
        assert isinstance(found, dict)
        return found

    def rule(**body: Any) -> dict[str, Any]:
        answer = server.put("/v1/trait-rules/city", json=body, headers=header)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert isinstance(found, dict)
        return found

    found = city()
    assert (found["value"], found["source"], found["message_id"]) == ("Paris", "web", "m-3")
    assert (found["rule"], found["conflict"]) == ("latest", True)
    [other] = found["others"]
    assert (other["value"], other["source"], other["message_id"]) == ("Lyon", "crm", "m-2")
    assert other["identifier"] == "user_id:ada"

    assert rule(rule="source_priority", sources=["crm"])["state"] == "in_force"
    assert (city()["value"], city()["message_id"]) == ("Lyon", "m-2")
    assert rule(rule="first")["state"] == "computing"
    assert city()["value"] == "Paris"  # until all is known the latest counts
    while history.advance(sessions):
        pass
    assert server.get("/v1/trait-rules/city", headers=header).json()["state"] == "in_force"
    assert (city()["value"], city()["message_id"]) == ("Lyon", "m-1")
    assert rule(rule="most_frequent")["state"] == "in_force"  # nothing to look through again
    assert city()["value"] == "Lyon"
    wrong = {"rule": "source_priority", "sources": ["no-such"]}
    answer = server.put("/v1/trait-rules/city", json=wrong, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (422, "definition-invalid")
    assert server.delete("/v1/trait-rules/city", headers=header).status_code == 204
    assert (city()["value"], city()["rule"]) == ("Paris", "latest")
    assert server.delete("/v1/trait-rules/city", headers=header).status_code == 404
    weak = token("profiles:read", purposes=("service.operation",))
    body = {"rule": "first"}
    assert server.put("/v1/trait-rules/city", json=body, headers=weak).status_code == 403
