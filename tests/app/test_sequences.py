"""Sequences and segments of segments, against a slow reference in plain Python."""

from collections import Counter
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.errors import DefinitionInvalid
from app.segments import compile as compiled
from app.segments import members, refreshing
from app.segments.definition import RULE, Sequence, Step
from tests.app import said
from tests.app.test_segments import DAY, NOW, PURPOSE, Event, Model, Random


def fits(event: Event, step: Step) -> bool:
    called = (step.event in (None, event.name)) and (step.type in (None, event.type))
    return called and all(
        said.holds(event.properties, p.prop, p.op, p.value, NOW) for p in step.where
    )


def holds(rule: Sequence, events: list[Event]) -> bool:
    """Try every choice of events, one for each step."""
    events = sorted(events, key=lambda e: (e.occurred_at, e.id))
    within = DAY * rule.within_days if rule.within_days else timedelta(days=10_000)
    since = NOW - DAY * rule.since_days if rule.since_days else NOW - timedelta(days=10_000)
    places = range(len(events))
    for chosen in combinations(places, len(rule.sequence)):
        first, last = events[chosen[0]], events[chosen[-1]]
        if first.occurred_at < since or not all(
            fits(events[at], step) for at, step in zip(chosen, rule.sequence, strict=True)
        ):
            continue
        if len(chosen) == 1:
            until = first.occurred_at + within
            between = [e for e in events[chosen[0] + 1 :] if e.occurred_at <= until]
            ended = until <= NOW
        else:
            between = events[chosen[0] + 1 : chosen[-1]]
            ended = last.occurred_at - first.occurred_at <= within
        if ended and not any(fits(e, step) for e in between for step in rule.without):
            return True
    return False


def expected(model: Model, rule: Sequence) -> set[int]:
    return {p for p in set(model.allowed.values()) if holds(rule, model.usable(p))}


def sequence(made: Random) -> dict[str, Any]:
    dice = made.dice

    def step() -> dict[str, Any]:
        one = {"prop": dice.choice(said.PATHS), **said.condition(dice, NOW)}
        called = dice.choice(({"event": "A"}, {"event": "B"}, {"type": "page"}))
        return {**called, "where": [one] * (dice.random() < 0.3)}

    steps = [step() for _ in range(dice.choice((1, 2, 2, 3, 4)))]
    alone = len(steps) == 1
    return {
        "sequence": steps,
        "without": [step() for _ in range(1 if alone else dice.randrange(3))],
        "within_days": dice.choice((1, 3) if alone else (None, 1, 3.5)),
        "since_days": dice.choice((None, 5)),
    }


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
def test_who_went_through_a_sequence_is_whom_a_slow_reference_finds(
    session: Session, seed: int
) -> None:
    made = Random(seed)
    model = made.people(session, 30)
    purpose = consent.catalogue.purpose(session, PURPOSE)
    everybody = set(model.allowed.values())
    sizes: Counter[tuple[int, str]] = Counter()
    for _ in range(250):
        rule = RULE.validate_python(sequence(made))
        assert isinstance(rule, Sequence)
        wanted = expected(model, rule)
        found = compiled.members(session, rule, purpose, now=NOW) & everybody
        assert found == wanted, rule
        some = "some" if 0 < len(wanted) < len(everybody) else "none or all"
        sizes[len(rule.sequence), some] += 1
    assert all(sizes[length, "some"] > 0 for length in (1, 2, 3)), sizes


def test_what_happened_at_one_moment_is_in_the_order_of_journeys(session: Session) -> None:
    """By the names of the sources, as in funnels and paths; not by which came to be first."""
    made = Random(3)
    [who, *_] = made.people(session, 5).allowed
    shop, crm = (sources.add(session, name)[0].id for name in ("shop", "crm"))
    at = NOW - 20 * DAY
    made.store(session, [
        Event(who, "track", "second", at, {}, [], id=1, source_id=shop),
        Event(who, "track", "first", at, {}, [], id=2, source_id=crm),
    ])  # fmt: skip
    purpose = consent.catalogue.purpose(session, PURPOSE)

    def went(*names: str) -> int:
        rule = RULE.validate_python({"sequence": [{"event": name} for name in names]})
        return len(compiled.members(session, rule, purpose, now=NOW))

    assert (went("first", "second"), went("second", "first")) == (1, 0)


def test_a_segment_of_segments_has_who_meets_their_rules(session: Session) -> None:
    made = Random(9)
    model = made.people(session, 30)
    third_rule = {"event": "B", "count": {"gte": 4}}
    first, second = {"event": "A", "count": {"gte": 2}}, {"trait": "x", "op": "exists"}
    members.create(session, key="first", name="F", purpose=PURPOSE, rule=first)
    members.create(
        session, key="second", name="S", purpose=PURPOSE,
        rule={"all": [{"segment": "first"}, second]},
    )  # fmt: skip
    third = members.create(
        session, key="third", name="T", purpose=PURPOSE,
        rule={"all": [{"segment": "second"}, {"not": third_rule}]},
    )  # fmt: skip
    entered = refreshing.refresh(session, [third], now=NOW)[0].entered
    flat = {"all": [first, second, {"not": third_rule}]}
    wanted = model.members(RULE.validate_python(flat))
    assert set(entered) & set(model.allowed.values()) == wanted
    assert 0 < len(wanted) < len(set(model.allowed.values()))


def test_a_rule_that_asks_for_what_is_not_there_says_what_was_meant(session: Session) -> None:
    members.create(session, key="buyers", name="B", purpose=PURPOSE, rule={"event": "A"})
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"segment": "byers"}, "no segment byers; did you mean buyers"),
        ({"sequence": [{"event": "A"}]}, "needs without and within_days"),
        ({"sequence": []}, "#/rule/sequence:"),
        ({"sequence": [{"event": "A", "prop": 1}]}, "#/rule/sequence/0/prop"),
        ({"sequences": []}, "sequence, segment"),
    ]
    for rule, why in wrong:
        with pytest.raises(DefinitionInvalid, match=why):
            members.create(session, key="c", name="C", purpose=PURPOSE, rule=rule)
    with pytest.raises(DefinitionInvalid, match="is computed for content"):
        members.create(
            session, key="c", name="C", purpose="marketing.email", rule={"segment": "buyers"}
        )
    wide = {"any": [{"event": "x"}] * 45}
    members.create(session, key="wide", name="W", purpose=PURPOSE, rule=wide)
    with pytest.raises(DefinitionInvalid, match="at most 200"):
        members.create(
            session, key="c", name="C", purpose=PURPOSE, rule={"all": [{"segment": "wide"}] * 5}
        )
