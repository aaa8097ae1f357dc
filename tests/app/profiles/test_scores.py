"""Scores among all against a reference that counts who is worse, person by person."""

import random
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from app.profiles import computed_traits, computing, scores
from app.profiles.tables import ComputedTrait
from tests.app.profiles.histories import DAY, NOW, PURPOSE, Event, World
from tests.app.profiles.test_computed_traits import reference, step, stored

PARTS = ("recency", "frequency", "monetary")
Raw = dict[str, Any]


def define(session: Session, within_days: float | None = None) -> dict[str, Any]:
    """A trait for each part, and the definition of what they score."""
    raw = {"event": "A", "prop": "x", "within_days": within_days}
    for part in (*PARTS, "cell"):
        definition = {"kind": "rfm_score", "part": part, **raw}
        computed_traits.put(session, key=part, name=part, purpose=PURPOSE, definition=definition)
    session.flush()
    return {"kind": "rfm", **raw}


def advance(session: Session, now: datetime) -> None:
    within = sessionmaker(session.connection(), join_transaction_mode="create_savepoint")
    while computing.advance(within, now=now):
        pass
    session.expire_all()


def raws(world: World, definition: dict[str, Any], now: datetime) -> dict[int, Raw]:
    """What everybody who may be used is scored by, the more the better."""
    found = {}
    for person, identifiers in world.persons().items():
        raw = reference(definition, world.usable(identifiers), now) if identifiers else None
        if raw is not None:
            found[person] = {"recency": -raw["recency_days"], "frequency": raw["frequency"],
                             "monetary": raw["monetary"]}  # fmt: skip
    return found


def score(mine: Raw, everybody: list[Raw], part: str) -> int:
    worse = len([one for one in everybody if one[part] < mine[part]])
    return min(5, 1 + 5 * worse // len(everybody)) if everybody else 1


def wanted(people: dict[int, Raw], everybody: list[Raw]) -> dict[tuple[str, int], Any]:
    found: dict[tuple[str, int], Any] = {}
    for person, mine in people.items():
        each = [score(mine, everybody, part) for part in PARTS]
        found |= {(part, person): one for part, one in zip(PARTS, each, strict=True)}
        found["cell", person] = "".join(map(str, each))
    return found


def values(session: Session) -> dict[tuple[str, int], Any]:
    return {at: value for at, (value, _) in stored(session).items()}


@pytest.mark.parametrize(
    ("seed", "number"), [(0, 16), *(pytest.param(n, 8 * n, marks=pytest.mark.long) for n in (1, 4))]
)
def test_scores_are_the_fifth_of_everybody_that_is_worse(
    session: Session, seed: int, number: int
) -> None:
    """Merges, withdrawals and late events; by the bounds of a day, and by new ones after it."""
    world = World(session, random.Random(seed))  # noqa: S311 -- a seeded test, no secret
    world.begin(number)
    step(world, 8 * number, set(), NOW)
    definition = define(session, within_days=6 if seed else None)
    advance(session, NOW)
    everybody = list(raws(world, definition, NOW).values())
    found = values(session)
    assert found == wanted(raws(world, definition, NOW), everybody)
    assert len({value for (key, _), value in found.items() if key != "cell"}) >= 4
    now = NOW
    for n in range(4):
        moved = world.move()
        people = set(moved.people) | {p for pair in (*moved.merged, *moved.split) for p in pair}
        who = world.dice.sample(world.ids, 2)
        world.say(who, world.dice.choice(("withdrawn", "given")), NOW + n * DAY / 24)
        people |= {person for person, ids in world.everybody().items() if set(who) & set(ids)}
        step(world, world.dice.randrange(1, 8), people, now)
        assert values(session) == wanted(raws(world, definition, now), everybody)
        now += 0.4 * DAY
        advance(session, now)
        if now - NOW >= scores.LASTS and n == 2:
            everybody = list(raws(world, definition, now).values())
        assert values(session) == wanted(raws(world, definition, now), everybody), n
    for trait in computed_traits.list_all(session):
        assert trait.bounds_at == NOW + 1.2 * DAY


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        ([7], [1]),
        ([1, 2], [1, 3]),
        ([3, 3, 3, 3], [1, 1, 1, 1]),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ([0.1, 0.2, 0.30000000000000004, 0.3], [1, 2, 4, 3]),
        ([1, 1, 1, 1, 9], [1, 1, 1, 1, 5]),
        ([9, 9, 9, 9, 1], [2, 2, 2, 2, 1]),
    ],
)
def test_equals_score_the_same_and_few_people_leave_scores_out(
    session: Session, amounts: list[float], expected: list[int]
) -> None:
    world = World(session, random.Random(1))  # noqa: S311 -- a seeded test, no secret
    world.begin(len(amounts))
    world.event = _orders(world, amounts)  # type: ignore[method-assign]  # what happens is given
    step(world, len(amounts), set(), NOW)
    define(session)
    advance(session, NOW)
    found = values(session)
    assert [found["monetary", person] for person in world.ids] == expected
    assert {found["frequency", person] for person in world.ids} == {1}


def _orders(world: World, amounts: list[float]) -> Any:
    def order(number: int) -> Event:
        return Event(10**9 + number, world.ids[number], "crm", "track", "A", NOW - DAY, NOW - DAY,
                     None, {"x": amounts[number]}, [])  # fmt: skip

    return order


def test_who_comes_before_anybody_else_scores_one_until_there_are_bounds(session: Session) -> None:
    world = World(session, random.Random(2))  # noqa: S311 -- a seeded test, no secret
    world.begin(2)
    define(session)
    advance(session, NOW)
    world.event = _orders(world, [5, 8])  # type: ignore[method-assign]  # what happens is given
    step(world, 2, set(), NOW)
    assert {value for (key, _), value in values(session).items() if key != "cell"} == {1}
    advance(session, NOW + scores.LASTS)
    found = values(session)
    assert [found["monetary", person] for person in world.ids] == [1, 3]
    trait: ComputedTrait = computed_traits.find(session, "monetary")
    changed = {**trait.definition, "event": "B"}
    computed_traits.put(session, key="monetary", name="m", purpose=PURPOSE, definition=changed)
    assert computed_traits.find(session, "monetary").bounds is None
    computing.follow(session, world.ids, now=NOW)
    advance(session, NOW + scores.LASTS)
    assert not [at for at in values(session) if at[0] == "monetary"]
