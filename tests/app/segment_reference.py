"""Random rules of segments, and who meets them: looked up in plain lists, by trying everything."""

import random
from datetime import datetime
from itertools import combinations
from typing import Any

import sqlalchemy as sa

from app.consents.permission import permissions
from identity import people
from identity.tables import Link
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World
from tests.app.profiles.test_computed_traits import reference as computed
from tests.app.profiles.test_golden_record import reference as survivor
from tests.app.said import PATHS, at_path, condition, holds, meets

OTHER = "ads.share"
Json = dict[str, Any]
#: The traits that are computed: of events, of a type, of a window, of what lies deeper.
COMPUTED: dict[str, Json] = {
    "tracked": {"kind": "count", "type": "track", "within_days": 5.5},
    "said": {"kind": "count", "type": "identify"},
    "last": {"kind": "last", "event": "A", "prop": "x"},
    "most": {"kind": "max", "event": "B", "prop": "x[].a"},
}
#: Rules that some people meet in nearly every history; the others are random.
ALWAYS: tuple[Json, ...] = (
    {"event": "A", "where": [], "count": {"gte": 2}, "within_days": None},
    {"trait": "x", "op": "exists", "value": None},
    {"sequence": [{"event": "A"}, {"event": "B"}], "without": [], "within_days": None,
     "since_days": None},
    {"identity_confidence": {"gte": 0.96}},
    {"any": [{"event": "B", "type": "track", "where": [], "count": {"eq": n}, "within_days": None}
             for n in (1, 3, 5, 7)]},
    {"any": [{"type": "track", "where": [], "count": {"eq": n}, "within_days": None}
             for n in range(1, 20, 2)]},
    {"any": [{"group_trait": "x", "op": "exists", "value": None},
             {"group_trait": "y", "op": "eq", "value": 1}]},
)  # fmt: skip


class Rules:
    """Random rules of all kinds, as JSON; lists are asked for by their keys."""

    def __init__(self, dice: random.Random, lists: list[str]) -> None:
        self.dice, self.lists = dice, lists

    def where(self) -> Json:
        return {"prop": self.dice.choice(PATHS), **condition(self.dice, NOW)}

    def step(self) -> Json:
        where = [self.where()] if self.dice.random() < 0.3 else []
        called = (
            {"event": "A"},
            {"event": "B"},
            {"type": "track"},
            {"event": "A", "type": "track"},
        )
        return {**self.dice.choice(called), "where": where}

    def single(self, others: list[str]) -> Json:
        kinds = ["trait", "event", "event", "sequence", "consent", "identity", "sureness",
                 "computed", "group", "listed"]  # fmt: skip
        kind = self.dice.choice(kinds + ["segment"] * bool(others))
        if kind == "trait":
            where = self.where()
            return {"trait": where.pop("prop"), **where}
        if kind == "group":
            where = self.where()
            return {"group_trait": where.pop("prop").partition(".")[0].rstrip("[]"), **where}
        if kind == "listed":
            return {"listed": self.dice.choice(self.lists), "query_id": "q", "bucket": "b",
                    "as_of": NOW.isoformat()}  # fmt: skip
        if kind == "computed":
            op, value = self.dice.choice((("gte", 1), ("lt", 2), ("eq", 2), ("exists", False)))
            return {"computed": self.dice.choice(sorted(COMPUTED)), "op": op, "value": value}
        if kind == "event":
            bound = self.dice.choice(("gte", "lte", "eq"))
            return {**self.step(), "count": {bound: self.dice.randrange(4)},
                    "within_days": self.dice.choice((None, 2, 5.5, 9))}  # fmt: skip
        if kind == "sequence":
            steps = [self.step() for _ in range(self.dice.choice((1, 2, 2, 3)))]
            alone = len(steps) == 1
            return {"sequence": steps,
                    "without": [self.step() for _ in range(1 if alone else self.dice.randrange(2))],
                    "within_days": self.dice.choice((1, 3) if alone else (None, 1, 3.5)),
                    "since_days": self.dice.choice((None, 6))}  # fmt: skip
        if kind == "consent":
            states = ("allowed", "denied", "given", "refused", "unknown")
            return {"consent": OTHER, "state": self.dice.choice(states)}
        if kind == "identity":
            return {"identity": self.dice.choice(("deterministic", "probable"))}
        if kind == "sureness":
            return {"identity_confidence": {"gte": self.dice.choice((0.9, 0.95, 0.96, 0.99, 1))}}
        return {"segment": self.dice.choice(others)}

    def rule(self, others: list[str], depth: int = 2) -> Json:
        kind = self.dice.choice(("all", "any", "not", "one", "one")) if depth else "one"
        if kind == "one":
            return self.single(others)
        if kind == "not":
            return {"not": self.rule(others, depth - 1)}
        return {kind: [self.rule(others, depth - 1) for _ in range(2)]}


class Reference:
    """What a person meets, looked up in plain lists and by trying everything."""

    def __init__(
        self, world: World, rules: dict[str, Json], lists: dict[str, set[int]], now: datetime,
        survives: dict[str, tuple[str, list[str]]],
    ) -> None:  # fmt: skip
        self.world, self.rules, self.lists, self.now = world, rules, lists, now
        self.survives = survives
        self.everybody = world.everybody()
        self.persons = {p: ids for p, ids in world.persons().items() if ids}
        self.reasons = {
            p.identifier_id: (p.allowed, p.reason) for p in permissions(world.session, OTHER)
        }
        self.groups: dict[int, set[int]] = {}
        self.parts: dict[int, set[int]] = {}
        for row in people.members(world.session, self.persons):
            self.groups.setdefault(row.person_id, set()).add(row.group_id)
            self.parts.setdefault(row.group_id, set()).add(row.identifier_id)
        links = sa.select(Link).where(Link.revoked_at.is_(None), Link.held.is_(None))
        self.links = list(world.session.scalars(links))

    def by_group(self) -> None:
        """Know asserted groups, and nobody whom only a match has made one."""
        self.persons = {}
        for p in permissions(self.world.session, PURPOSE):
            if p.identifier_id in self.world.names and p.allowed:
                self.persons.setdefault(p.group_id, []).append(p.identifier_id)
        self.everybody = {group: list(ids) for group, ids in self.parts.items()}
        self.groups = {group: {group} for group in self.parts}

    def inside(self, rule: Json) -> set[int]:
        return {person for person in self.persons if self.holds(rule, person)}

    def holds(self, rule: Json, person: int) -> bool:
        if "all" in rule:
            return all([self.holds(part, person) for part in rule["all"]])
        if "any" in rule:
            return any([self.holds(part, person) for part in rule["any"]])
        if "not" in rule:
            return not self.holds(rule["not"], person)
        if "segment" in rule:
            return self.holds(self.rules[rule["segment"]], person)
        return self.meets(rule, person)

    def meets(self, rule: Json, person: int) -> bool:
        if "consent" in rule:
            found = [self.reasons[i] for i in self.persons[person]]
            if rule["state"] in ("allowed", "denied"):
                return any(allowed for allowed, _ in found) is (rule["state"] == "allowed")
            return rule["state"] in {reason for _, reason in found}
        if "identity" in rule:
            return (len(self.groups[person]) > 1) is (rule["identity"] == "probable")
        if "identity_confidence" in rule:
            return self.sure(person, rule["identity_confidence"]["gte"])
        if "listed" in rule:
            return bool(self.lists[rule["listed"]] & set(self.everybody[person]))
        if "group_trait" in rule:
            return self.grouped(rule, person)
        events = sorted(self.world.usable(self.persons[person]), key=lambda e: e.order)
        if "computed" in rule:
            return self.computed(rule, events)
        if "trait" in rule:
            return self.said(rule, events)
        return self.went(rule, events) if "sequence" in rule else self.counted(rule, events)

    def computed(self, rule: Json, events: list[Event]) -> bool:
        definition = COMPUTED[rule["computed"]]
        value = computed(definition, events, self.now)
        if value is None and definition["kind"] == "count":
            value = 0
        return meets(value, rule["op"], rule["value"], self.now)

    def said(self, rule: Json, events: list[Event]) -> bool:
        traits: Json = {}
        for key, (by, first) in self.survives.items():
            mine = [e for e in events if e.type == "identify" and key in e.properties]
            if mine:
                traits[key] = survivor(by, first, [(e.order, e.properties[key], e) for e in mine])
        if rule["op"] != "exists" and not at_path(traits, rule["trait"]):
            return False
        return holds(traits, rule["trait"], rule["op"], rule["value"], self.now)

    def grouped(self, rule: Json, person: int) -> bool:
        """Look at each account that the person was said to be in, and what was told of it last."""
        tellers = [i for ids in self.persons.values() for i in ids]
        said = sorted(self.world.usable(tellers), key=lambda e: e.order)
        found = []
        for group in {e.group for e in self.world.usable(self.persons[person]) if e.group}:
            traits: Json = {}
            for event in said:
                if event.group == group:
                    traits |= event.properties
            value = traits.get(rule["group_trait"])
            found.append(value is not None and meets(value, *self.asked(rule), self.now))
        return any(found) is not (rule["op"] == "exists" and rule["value"] is False)

    def asked(self, rule: Json) -> tuple[str, Any]:
        """Return operator and value; `exists` with false is the opposite of there being any."""
        return rule["op"], None if rule["op"] == "exists" else rule["value"]

    def sure(self, person: int, least: float) -> bool:
        """Take part after part to the first one until nothing sure enough leads to another."""
        [first, *others] = self.groups[person]
        reached = set(self.parts[first])
        for _ in others:
            for link in self.links:
                ends = {link.left_id, link.right_id}
                if ends & reached and (link.probability or 1) >= least:
                    reached |= ends
            for group in others:
                if self.parts[group] & reached:
                    reached |= self.parts[group]
        return all([self.parts[group] <= reached for group in others])

    def counted(self, rule: Json, events: list[Event]) -> bool:
        since = self.now - (rule["within_days"] or 10_000) * DAY
        number = len([e for e in events if fits(e, rule, self.now) and at(e) >= since])
        [(bound, wanted)] = rule["count"].items()
        return bool(
            {"gte": number >= wanted, "lte": number <= wanted, "eq": number == wanted}[bound]
        )

    def went(self, rule: Json, events: list[Event]) -> bool:
        within = (rule["within_days"] or 10_000) * DAY
        since = self.now - (rule["since_days"] or 10_000) * DAY
        for chosen in combinations(range(len(events)), len(rule["sequence"])):
            first, last = at(events[chosen[0]]), at(events[chosen[-1]])
            if first < since or not all(
                fits(events[n], step, self.now)
                for n, step in zip(chosen, rule["sequence"], strict=True)
            ):
                continue
            between = events[chosen[0] + 1 : chosen[-1]]
            over = last - first <= within
            if len(chosen) == 1:
                between = [e for e in events[chosen[0] + 1 :] if at(e) <= first + within]
                over = first + within <= self.now
            unwanted = [e for e in between for step in rule["without"] if fits(e, step, self.now)]
            if over and not unwanted:
                return True
        return False


def at(event: Event) -> datetime:
    return min(event.occurred_at, event.received_at)


def fits(event: Event, step: Json, now: datetime) -> bool:
    called = step.get("event", event.name) == event.name
    return called and step.get("type", event.type) == event.type and all(
        [holds(event.properties, w["prop"], w["op"], w["value"], now)
         for w in step.get("where", [])]
    )  # fmt: skip
