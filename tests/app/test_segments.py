"""Segments against a slow reference in plain Python; and who refused is seen by nobody."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import permissions
from app.errors import DefinitionInvalid, SegmentExists
from app.events.stream import Outline
from app.profiles.project import project
from app.segments import compile as compiled
from app.segments import members, refreshing
from app.segments.definition import RULE, All, Any_, Behaviour, Not, Rule, Trait
from consent import Choice
from identity import candidates, graph, records
from tests.app import said

PURPOSE = "content.personalised"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
VALUES = said.values(NOW)


@dataclass
class Event:
    identifier_id: int
    type: str
    name: str | None
    occurred_at: datetime
    properties: dict[str, Any]
    refused: list[str]
    id: int = 0
    source_id: int = 1
    received_at: datetime = NOW


@dataclass
class Model:
    """The same people as in the database, in plain lists."""

    allowed: dict[int, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def members(self, rule: Rule) -> set[int]:
        return {p for p in set(self.allowed.values()) if self.holds(rule, p)}

    def usable(self, person: int) -> list[Event]:
        return [
            e
            for e in self.events
            if self.allowed.get(e.identifier_id) == person and PURPOSE not in e.refused
        ]

    def holds(self, rule: Rule, person: int) -> bool:
        if isinstance(rule, All):
            return all(self.holds(r, person) for r in rule.all)
        if isinstance(rule, Any_):
            return any(self.holds(r, person) for r in rule.any)
        if isinstance(rule, Not):
            return not self.holds(rule.not_, person)
        if isinstance(rule, Trait):
            told = sorted(
                [e for e in self.usable(person) if e.type == "identify"],
                key=lambda e: (e.occurred_at, e.id),
            )
            traits = {key: value for e in told for key, value in e.properties.items()}
            there = bool(said.at_path(traits, rule.trait)) or rule.op == "exists"
            return there and said.holds(traits, rule.trait, rule.op, rule.value, NOW)
        assert isinstance(rule, Behaviour)
        since = NOW - timedelta(days=rule.within_days or 10_000)
        count = sum(
            (rule.event is None or e.name == rule.event)
            and (rule.type is None or e.type == rule.type)
            and e.occurred_at >= since
            and all(said.holds(e.properties, p.prop, p.op, p.value, NOW) for p in rule.where)
            for e in self.usable(person)
        )
        return rule.count.allows(count)


class Random:
    """Random people with histories, and random rules about them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret

    def rule(self, depth: int = 3) -> dict[str, Any]:
        kinds = ("all", "any", "not", "trait", "event") if depth else ("trait", "event")
        kind = self.dice.choice(kinds)
        if kind in ("all", "any"):
            return {kind: [self.rule(depth - 1) for _ in range(self.dice.randrange(1, 3))]}
        if kind == "not":
            return {"not": self.rule(depth - 1)}
        if kind == "trait":
            return {"trait": self.dice.choice(said.PATHS), **said.condition(self.dice, NOW)}
        count = {self.dice.choice(("gte", "lte", "eq")): self.dice.randrange(3) for _ in range(2)}
        where = [{"prop": self.dice.choice(said.PATHS), **said.condition(self.dice, NOW)}]
        called = self.dice.choice(
            ({"event": "A"}, {"event": "B"}, {"type": "page"}, {"event": "A", "type": "track"})
        )
        return {
            **called,
            "count": count,
            "within_days": self.dice.choice((None, 2, 5.5)),
            "where": where * self.dice.randrange(2),
        }

    def people(self, session: Session, number: int) -> Model:
        model = Model()
        names = [("crm_id", f"s-{self.dice.random()}") for _ in range(number)]
        ids = sorted(graph.identify(session, names).values())
        graph.settle(session, ids)
        graph.set_link_consent(session, dict.fromkeys(ids, "given"))
        links = [
            graph.Evidence(one, other, kind, "test", NOW, probability=0.99)
            for kind in self.dice.choices(("event", "match"), k=number // 3)
            for one, other in [self.dice.sample(ids, 2)]
        ]
        graph.reconsider(session, graph.observe(session, links), at=NOW)
        states = ("given",) * 5 + ("refused", "withdrawn")
        choices = [
            Choice(*name, PURPOSE, self.dice.choice(states), NOW - self.dice.randrange(30) * DAY,
                   "test", valid_days=self.dice.choice((None, 20)))
            for name in names if self.dice.random() < 0.85
        ]  # fmt: skip
        consent.record(session, choices, received_at=NOW)
        for n in range(number * 5):
            model.events.append(self.event(ids, n))
        self.store(session, model.events)
        mine = set(ids)
        model.allowed = {
            p.identifier_id: p.person_id
            for p in permissions(session, PURPOSE)
            if p.allowed and p.identifier_id in mine
        }
        return model

    def event(self, ids: list[int], number: int) -> Event:
        properties = {key: self.dice.choice(VALUES) for key in "xy" if self.dice.random() < 0.7}
        if self.dice.random() < 0.2:
            properties["x.y"] = self.dice.choice(VALUES)
        kind = self.dice.choice(("identify", "track", "track", "page"))
        return Event(
            self.dice.choice(ids),
            kind,
            None if kind == "identify" else self.dice.choice(("A", "A", "B", "B", None)),
            NOW - self.dice.randrange(9) * DAY,
            properties,
            self.dice.choice(([], [], [], [PURPOSE], ["ads.share"])),
            id=10**9 + number,
        )

    def store(self, session: Session, events: list[Event]) -> None:
        session.execute(
            sa.text(
                "INSERT INTO app.event (id, source_id, message_id, type, name, identifier_id, "
                "identifier_ids, occurred_at, received_at, refused, properties, context, part) "
                "VALUES (:id, :source, :id ::text, :type, :name, :who, "
                "ARRAY[:who ::bigint], :at, :at, :refused, CAST(:properties AS json), '{}', 1)"
            ),
            [{"id": e.id, "source": e.source_id, "type": e.type, "name": e.name,
              "who": e.identifier_id, "at": e.occurred_at, "refused": e.refused,
              "properties": json.dumps(e.properties)}
             for e in events],
        )  # fmt: skip
        rows = session.execute(
            sa.text(
                "SELECT id, '', source_id, type, identifier_ids, occurred_at, received_at, NULL, "
                "refused, message_id, CASE WHEN type = 'identify' THEN properties::text END "
                "FROM app.event WHERE id = any(:ids)"
            ),
            {"ids": [e.id for e in events]},
        ).all()
        dice = [Outline(*row) for row in rows]
        self.dice.shuffle(dice)
        for part in (dice[::2], dice[1::2]):
            project(session, part)


@pytest.mark.parametrize("seed", range(3))
def test_members_are_those_whom_a_slow_reference_finds(session: Session, seed: int) -> None:
    made = Random(seed)
    model = made.people(session, 40)
    purpose = consent.catalogue.purpose(session, PURPOSE)
    everybody = set(model.allowed.values())
    sizes: dict[str, int] = defaultdict(int)
    for _ in range(160):
        rule = RULE.validate_python(made.rule())
        found = compiled.members(session, rule, purpose, now=NOW, people=None) & everybody
        expected = model.members(rule)
        assert found == expected, rule
        sizes["some" if 0 < len(expected) < len(everybody) else "none or all"] += 1
    assert sizes["some"] > 50


def test_a_refresh_ends_in_the_same_members_whoever_is_asked_about_first(session: Session) -> None:
    made = Random(50)
    model = made.people(session, 30)
    rule = {"event": "A", "count": {"gte": 1}}
    segment = members.create(session, key="a", name="A", purpose=PURPOSE, rule=rule)
    expected = model.members(members.rule_of(segment))
    some = sorted(set(model.allowed.values()))[::2]
    first = refreshing.refresh(session, [segment], now=NOW, people=some)[0]
    assert set(first.entered) == expected & set(some)
    second = refreshing.refresh(session, [segment], now=NOW + DAY)[0]
    assert set(second.entered) == expected - set(some)
    again = refreshing.refresh(session, [segment], now=NOW + DAY)[0]
    assert (again.entered, again.left) == ((), ())
    assert segment.members == len(expected)
    page, cursor = members.list_members(session, segment, after=None, limit=3)
    rest, end = members.list_members(session, segment, after=cursor, limit=10_000)
    assert [r.person_id for r in [*page, *rest]] == sorted(expected)
    assert end is None


def test_who_withdraws_leaves_and_the_reason_is_kept(session: Session) -> None:
    made = Random(51)
    model = made.people(session, 30)
    segment = members.create(
        session, key="b", name="B", purpose=PURPOSE, rule={"event": "B", "count": {"gte": 0}}
    )
    refreshing.refresh(session, [segment], now=NOW)[0]
    person = min(model.allowed.values())
    voices = session.execute(graph.statement("members"), {"people": [person]}).all()
    later = datetime.now(UTC)
    consent.record(
        session,
        [Choice(v.namespace, v.value, PURPOSE, "withdrawn", later, "test") for v in voices],
        received_at=later,
    )
    delta = refreshing.refresh(session, [segment], now=NOW + DAY, people=[person])[0]
    assert delta.left == ((person, "consent:withdrawn"),)
    page, _ = members.list_members(session, segment, after=None, limit=999)
    assert person not in {row.person_id for row in page}


def test_a_rule_that_cannot_be_read_is_refused_and_a_key_is_taken_once(session: Session) -> None:
    unreadable: list[dict[str, Any]] = [
        {}, {"all": []}, {"trait": "x", "op": "like"}, {"event": "x", "count": {}}
    ]  # fmt: skip
    for wrong in unreadable:
        with pytest.raises(DefinitionInvalid):
            members.create(session, key="c", name="C", purpose=PURPOSE, rule=wrong)
    with pytest.raises(consent.PurposeNotFound):
        members.create(session, key="c", name="C", purpose="no.such", rule={"event": "x"})
    members.create(session, key="c", name="C", purpose=PURPOSE, rule={"event": "x"})
    with pytest.raises(SegmentExists):
        members.create(session, key="c", name="C", purpose=PURPOSE, rule={"event": "x"})


def test_text_in_a_rule_is_a_value_and_never_sql(session: Session) -> None:
    purpose = consent.catalogue.purpose(session, PURPOSE)
    for evil in ("'; DROP TABLE app.event; --", ":v0", "%(x)s", "\\", '"', "x' OR '1'='1"):
        where = [{"prop": evil, "value": evil}, {"prop": f"x.{evil}[].a", "op": "ne", "value": 1}]
        for rule in (
            {"event": evil, "where": where},
            {"trait": evil, "value": evil},
            {"trait": f"{evil}.a", "value": evil},
        ):
            checked: Rule = members.parse(rule)
            assert compiled.members(session, checked, purpose, now=NOW, people=[1]) == set()


def matchable(session: Session) -> set[int]:
    """Whom matching sees."""
    return {i for some in candidates.every(session) for i in some.column("record_id").to_pylist()}


def test_matching_never_sees_who_refused_nor_who_was_not_asked(session: Session) -> None:
    """Only groups where profile.link was given, and of them no identifier that refused."""
    names = ["given", "refused", "unknown", "spoken for", "silent friend", "refusing friend"]
    ids = [graph.identify(session, [("crm_id", f"m-{n}")])["crm_id", f"m-{n}"] for n in names]
    given, refused, _, spoken, friend, refusing = ids
    graph.settle(session, ids)
    records.keep(session, {i: {"last_name": "lovelace", "city": "london"} for i in ids})
    states = {given: "given", refused: "refused", spoken: "given", refusing: "refused"}
    links = [graph.Evidence(spoken, x, "event", "test", NOW) for x in (friend, refusing)]
    touched = graph.set_link_consent(session, states) | graph.observe(session, links)
    graph.reconsider(session, touched, at=NOW)
    seen = matchable(session) & set(ids)
    assert seen == {given, spoken, friend}

    graph.set_link_consent(session, {friend: "refused"})  # and nothing is computed again yet
    assert friend not in matchable(session)
    graph.reconsider(session, graph.set_link_consent(session, {given: "refused"}), at=NOW)
    assert given not in matchable(session)


def test_a_behaviour_needs_a_bound() -> None:
    assert Behaviour(event="x").count.allows(1)
    assert not Behaviour(event="x").count.allows(0)
