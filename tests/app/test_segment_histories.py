"""Members of random segments against a slow reference, while everything happens to people."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

import consent
from app import pipeline, work
from app.consents.permission import permissions
from app.profiles import computed_traits, computing
from app.segments import looking, members, refreshing
from app.segments.tables import Segment, SegmentMember
from consent import Choice
from identity import people
from identity.tables import Link
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World
from tests.app.profiles.test_computed_traits import reference as computed
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
)  # fmt: skip


class Rules:
    """Random rules of all kinds, as JSON."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

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
                 "computed"]  # fmt: skip
        kind = self.dice.choice(kinds + ["segment"] * bool(others))
        if kind == "trait":
            where = self.where()
            return {"trait": where.pop("prop"), **where}
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

    def __init__(self, world: World, rules: dict[str, Json], now: datetime) -> None:
        self.world, self.rules, self.now = world, rules, now
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
        for event in events:  # in order: the latest counts
            if event.type == "identify":
                traits |= event.properties
        if rule["op"] != "exists" and not at_path(traits, rule["trait"]):
            return False
        return holds(traits, rule["trait"], rule["op"], rule["value"], self.now)

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
        number = len([e for e in events if fits(e, rule, self.now) and e.occurred_at >= since])
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


class Told:
    """A world whose people are in segments, and what a step and a job do to these."""

    def __init__(
        self, session: Session, seed: int, number: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.session = session
        self.within = sessionmaker(session.connection(), join_transaction_mode="create_savepoint")
        told = self

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return told.now

        monkeypatch.setattr(pipeline, "datetime", Clock)
        self.dice = random.Random(seed)  # noqa: S311 -- a seeded test, no secret
        self.world = World(session, self.dice)
        self.world.begin(14)
        links = [Choice(*n, consent.LINK, "given", NOW - 40 * DAY, "test")
                 for n in self.world.names.values()]  # fmt: skip
        consent.record(session, links, received_at=NOW - 40 * DAY)
        for key, definition in COMPUTED.items():
            computed_traits.put(session, key=key, name=key, purpose=PURPOSE, definition=definition)
        self.rules: dict[str, Json] = {}
        rules = Rules(self.dice)
        for n in range(number):
            key = f"s{n}-{seed}"
            rule = ALWAYS[n] if n < len(ALWAYS) else rules.rule(list(self.rules))
            members.create(session, key=key, name=key, purpose=PURPOSE, rule=rule)
            self.rules[key] = rule
        self.now = NOW
        self.compute()

    def listed(self) -> list[Segment]:
        return [s for s in members.list_all(self.session) if s.key in self.rules]

    def compute(self) -> None:
        """What the job does that computes traits."""
        while computing.advance(self.within, now=self.now):
            pass
        self.session.expire_all()

    def step(self, events: int, touched: Iterable[int] = ()) -> None:
        """What the worker does: some events, and people who were touched otherwise."""
        if events:
            self.world.happen(events)
        work.touch(self.session, [(one, "consent", {}) for one in touched])
        while not pipeline.step(self.session).idle:
            pass

    def look(self) -> int:
        """What the jobs do; return how many the look at segments found."""
        self.compute()
        found = looking.look(self.session, self.listed(), now=self.now)
        refreshing.refresh(
            self.session, found.segments, now=self.now, people=found.people, settled=True
        )
        return len(found.people)

    def happen(self) -> None:
        """One of everything that can happen, and what follows it."""
        touched: list[int] = []
        kind = self.dice.choice(("move", "move", "consent", "other", "delete", "nothing"))
        who = self.dice.choice(self.world.ids)
        if kind == "move":
            pipeline.after_move(self.session, self.world.move())
        elif kind == "consent":
            self.world.say([who], self.dice.choice(("withdrawn", "given")), self.moment())
            touched = [who]
        elif kind == "other":
            state = self.dice.choice(("given", "refused"))
            said = Choice(*self.world.names[who], OTHER, state, self.moment(), "test")
            consent.record(self.session, [said], received_at=self.moment())
            touched = [who]
        elif kind == "delete":  # as retention leaves it
            for table in ("event", "trait"):
                self.session.execute(
                    sa.text(f"DELETE FROM app.{table} WHERE identifier_id = :who"),  # noqa: S608 -- our own two names
                    {"who": who},
                )
            for event in self.world.events:  # they stay in the list: ids go by its length
                if event.identifier_id == who:
                    event.identifier_id = -1
            touched = [who]
        self.step(0, touched)
        self.step(self.dice.randrange(1, 6))  # of whom nothing else is known that is new

    def moment(self) -> datetime:
        return NOW - DAY + timedelta(seconds=len(self.world.events))

    def compare(self, seen: Counter[str]) -> None:
        reference = Reference(self.world, self.rules, self.now)
        query = sa.select(SegmentMember.segment_id, SegmentMember.person_id).where(
            SegmentMember.left_at.is_(None)
        )
        rows = self.session.execute(query).all()
        for segment in self.listed():
            assert segment.error is None
            found = {row.person_id for row in rows if row.segment_id == segment.id}
            wanted = reference.inside(self.rules[segment.key])
            assert found == wanted, (json.dumps(self.rules[segment.key]), self.now)
            seen["some" if 0 < len(wanted) < len(reference.persons) else "none or all"] += 1


@pytest.mark.parametrize(
    ("seed", "number", "rounds"),
    [(0, 9, 5), *(pytest.param(n, 10, 8, marks=pytest.mark.long) for n in range(1, 7))],
)
def test_members_are_whom_a_slow_reference_finds_whatever_happened(
    session: Session, monkeypatch: pytest.MonkeyPatch, seed: int, number: int, rounds: int
) -> None:
    """Late events, merges, undo, splits, withdrawals, deletions, time that passes with no event."""
    told = Told(session, seed, number, monkeypatch)
    told.step(70)
    told.look()  # who has no event at all meets rules, too
    seen: Counter[str] = Counter()
    for _ in range(rounds):
        told.happen()
        told.compare(seen)
        assert told.look() == 0  # whole or piece by piece ends in the same
        told.now += told.dice.choice((0.4, 1, 2.3)) * DAY
        told.look()
        told.compare(seen)
    assert seen["some"] > rounds, seen
