"""The target journey: one deviation for each mistake, the clock, and SQL as the plain rules say."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys.alignment import align, rules
from app.journeys.conformance import conformance, people
from app.journeys.conformance_answer import ConformanceResult
from app.journeys.conformance_request import ConformanceQuery
from app.journeys.definition import Journey, definition_hash
from app.journeys.predicate import microseconds
from app.journeys.ways import judge, ways

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000
TARGET: dict[str, Any] = {
    "nodes": ["A", "B", "C", "D"],
    "edges": [{"from": "A", "to": "B", "max_delay": "P2D"},
              {"from": "B", "to": "D", "max_delay": "P5D"}],
    "forbidden": ["F"],
}  # fmt: skip


def journey(**target: Any) -> Journey:
    points = [("A", "a", "web"), ("B", "b", "web"), ("B2", "b", "phone"), ("C", "c", "web"),
              ("D", "d", "web"), ("X", "e", "web"), ("F", "e", "phone")]  # fmt: skip
    return Journey.model_validate(
        {
            "key": "j",
            "name": "J",
            "stages": [{"id": s, "order": n} for n, s in enumerate("abcde")],
            "channels": ["web", "phone"],
            "touchpoints": [
                {"id": i, "stage": s, "channel": c, "match": {"event": i}} for i, s, c in points
            ],
            "target": {**TARGET, **target},
        }
    )


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def crowd(history: History, *people_: Sequence[tuple[str, float]]) -> duckdb.DuckDBPyConnection:
    return history(
        [
            {"person_id": person, "name": name, "occurred_at": at(days), "source_seq": place}
            for person, told in enumerate(people_)
            for place, (name, days) in enumerate(told)
        ]
    )


def told(line: str, **target: Any) -> list[tuple[str, str]]:
    names = line.split()
    found = align(rules(journey(**target)), names, over=names[-1:] == ["D"])
    return [(one.kind, one.touchpoint) for one in found.deviations]


def daily(line: str, step: float = 1) -> list[tuple[str, float]]:
    return [(name, day * step) for day, name in enumerate(line.split())]


def ask(
    connection: duckdb.DuckDBPyConnection, as_of: float = 100, **target: Any
) -> ConformanceResult:
    query = ConformanceQuery(journey=journey(**target))
    result = conformance(connection, query, as_of=at(as_of))
    assert sum(one.ways for one in result.states.values()) == result.compared
    assert result.compared + result.not_compared == result.ways
    return result


def test_the_target_itself_fits_and_each_mistake_is_one_deviation_of_its_kind() -> None:
    """research/journeys.md §7, 62."""
    assert told("A B C D") == []
    assert align(rules(journey()), list("ABCD"), over=True).fit() == 1
    mistakes = {
        "A C D": ("skipped", "B"),
        "A X B C D": ("inserted", "X"),
        "A F B C D": ("forbidden", "F"),
        "A B C A D": ("repeated", "A"),
        "A C B D": ("out_of_order", "C"),
        "B A C D": ("out_of_order", "B"),
        "A B2 C D": ("wrong_channel", "B2"),
    }
    for line, deviation in mistakes.items():
        assert told(line) == [deviation], line
        assert 0 < align(rules(journey()), line.split(), over=True).fit() < 1


def test_what_is_allowed_is_no_deviation() -> None:
    nodes = [{"touchpoint": "A", "repeatable": True},
             {"touchpoint": "B", "channels": ["phone"]},
             {"touchpoint": "C", "optional": True}, "D"]  # fmt: skip
    for line in ("A B C D", "A B2 C D", "A B D", "A B A C D"):
        assert told(line, nodes=nodes) == [], line
    assert told("A A B D", nodes=["A", "B", {"touchpoint": "C", "optional": True}, "D"]) == [
        ("repeated", "A")
    ]


def test_an_open_way_has_not_skipped_what_is_still_to_come() -> None:
    assert told("A") == []
    assert told("A B") == []
    assert told("A C") == [("skipped", "B")]
    over = align(rules(journey()), ["A", "B"], over=True)
    assert [(d.kind, d.touchpoint, d.at) for d in over.deviations] == [
        ("skipped", "C", None), ("skipped", "D", None),
    ]  # fmt: skip


def test_an_edge_is_late_from_the_first_instant_after_its_delay_and_no_event_is_needed(
    history: History,
) -> None:
    """research/journeys.md §7, 63: what the clock makes late."""
    rule = rules(journey())
    [way] = ways(rule, [("A", 0)], now=0)
    on_time = judge(rule, way, now=2 * DAY)
    assert (on_time.late, on_time.due) == ((), 2 * DAY + 1)
    late = judge(rule, way, now=2 * DAY + 1)
    assert [(one.edge, one.end, one.since) for one in late.late] == [((0, 1), None, 2 * DAY + 1)]
    assert (late.due, late.deviations, late.fit < 1) == (None, (), True)
    connection = crowd(history, [("A", 0)])
    assert ask(connection, 2).kinds["late"] == 0
    query = ConformanceQuery(journey=journey())
    result = conformance(connection, query, as_of=at(2) + timedelta(microseconds=1))
    assert [(d.kind, d.touchpoint, d.to, d.n) for d in result.deviations] == [("late", "A", "B", 1)]


def test_late_is_measured_from_the_last_event_to_the_first(history: History) -> None:
    exact = [("A", 0), ("A", 1), ("B", 3), ("B", 4), ("C", 5), ("D", 9)]
    result = ask(crowd(history, exact))
    assert (result.all.fit, result.all.mean_fit) == (1, 1)
    slow = ask(crowd(history, [("A", 0), ("B", 2.1), ("C", 3), ("D", 7.2)]))
    assert slow.kinds["late"] == 2
    assert slow.all.mean_fit == pytest.approx(1 - 2 / (4 + 4 + 2))


def test_ways_end_at_the_last_node_or_with_silence(history: History) -> None:
    twice = ask(crowd(history, [*daily("A B C D X"), *[(n, d + 10) for n, d in daily("A B C D")]]))
    assert (twice.ways, twice.profiles, twice.all.fit) == (2, 1, 2)
    # The same end once more, and what is none of the target's, begin nothing.
    again = ask(crowd(history, [("A", 0), ("B", 1), ("C", 2), ("D", 3), ("D", 4), ("X", 5),
                                ("D", 6)]))  # fmt: skip
    assert (again.ways, again.all.fit) == (1, 1)
    silent = ask(crowd(history, [("A", 0), ("A", 20)]), 50, inactivity="P10D")
    assert {state: one.ways for state, one in silent.states.items()} == {
        "open": 0, "completed": 0, "abandoned": 2,
    }  # fmt: skip
    assert silent.kinds["skipped"] == 6


def test_numbers_open_to_their_people(history: History) -> None:
    connection = crowd(
        history,
        daily("A B C D"), daily("A C D"), [("A", 0)], daily("X"), daily("A B2 C D"),
        daily("A B C D", step=3), [*daily("A C D"), *[(n, d + 10) for n, d in daily("A C D")]],
    )  # fmt: skip
    query = ConformanceQuery(journey=journey())
    result = conformance(connection, query, as_of=at(100))
    who = {
        "fit:any": [0], "state:open": [2], "state:completed": [0, 1, 4, 5, 6],
        'deviation:["skipped","B"]': [1, 6], 'deviation:["wrong_channel","B2"]': [4],
        'deviation:["late","A","B"]': [2, 5], 'deviation:["late","B","D"]': [5],
    }  # fmt: skip
    for number, expected in who.items():
        assert people(connection, query, as_of=at(100), number=number) == expected, number
    told_ = {one.bucket: one.profiles for one in result.deviations}
    assert told_ == {n: len(p) for n, p in who.items() if n.startswith("deviation")}
    [skipped] = [one for one in result.deviations if one.kind == "skipped"]
    assert (skipped.n, skipped.ways, result.compared, result.profiles_compared) == (3, 3, 7, 6)
    for wrong in ("state:x", "fit:1", "deviation:skipped", "step:1"):
        with pytest.raises(BucketInvalid):
            people(connection, query, as_of=at(100), number=wrong)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inactivity", [None, "P6D"])
def test_sql_says_of_everybody_what_the_rules_say_of_one(
    history: History, seed: int, inactivity: str | None
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a reproducible history, not a secret
    told_ = [
        sorted(
            (
                (chance.choice(["A", "B", "B2", "C", "D", "X", "F"]), chance.randrange(0, 30))
                for _ in range(chance.randrange(0, 12))
            ),
            key=lambda one: one[1],
        )
        for _ in range(60)
    ]
    result = ask(crowd(history, *told_), 31, inactivity=inactivity)
    rule = rules(journey(inactivity=inactivity))
    now = microseconds(at(31))
    kinds, states, fits = Counter[str](), Counter[str](), []
    for person in told_:
        for way in ways(rule, [(n, microseconds(at(d))) for n, d in person], now=now):
            judged = judge(rule, way, now=now)
            kinds.update(one.kind for one in judged.deviations)
            kinds["late"] += len(judged.late)
            states[way.state] += 1
            fits.append(judged.fit)
    assert result.kinds == {kind: kinds[kind] for kind in result.kinds}
    assert {s: one.ways for s, one in result.states.items() if one.ways} == states
    assert result.all.mean_fit == pytest.approx(sum(fits) / len(fits))
    assert result.all.fit == fits.count(1.0)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"nodes": ["A", "Z"], "edges": []}, "/target/nodes/1/touchpoint: unknown touchpoint 'Z'"),
    ({"nodes": ["A", "A"]}, "named twice"),
    ({"nodes": ["A", {"touchpoint": "D", "optional": True}]}, "last node cannot be optional"),
    ({"edges": [{"from": "D", "to": "A", "max_delay": "P1D"}]}, "goes backwards"),
    ({"edges": [{"from": "A", "to": "X", "max_delay": "P1D"}]}, "must be nodes"),
    ({"forbidden": ["A"]}, "is a node"),
    ({"nodes": [{"touchpoint": "A", "channels": ["fax"]}, "D"], "edges": []}, "unknown channel"),
    ({"inactivity": "PT0S"}, "greater than"),
]


@pytest.mark.parametrize(("target", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_a_target_that_cannot_be_meant_is_refused(target: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        journey(**target)


def test_a_journey_without_a_target_cannot_be_compared_and_keeps_its_hash() -> None:
    plain = Journey.model_validate(journey().model_dump(exclude={"target"}))
    with pytest.raises(ValidationError, match="no target"):
        ConformanceQuery(journey=plain)
    assert definition_hash(plain) != definition_hash(journey())


def test_nobody_has_come_yet(history: History) -> None:
    result = ask(history([]))
    assert (result.ways, result.all.share_fit, result.deviations) == (0, None, ())
