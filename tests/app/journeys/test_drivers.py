"""Drivers: equal time for everybody, leaks told apart, intervals and multiplicity."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import exp, log, sqrt
from typing import Any

import duckdb
import pytest

from app.errors import BucketInvalid
from app.journeys.drivers import DriversResult, drivers, people
from app.journeys.drivers_request import DriversQuery

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 1, tzinfo=UTC)
LATE = START + timedelta(days=365)


def query(**said: Any) -> DriversQuery:
    asked = {"entry": {"event": "In"}, "outcome": {"event": "Out"}, "observe": "P7D",
             "window": "P30D", "least": 5, **said}  # fmt: skip
    return DriversQuery.model_validate(asked)


def crowd(
    history: History, *people_: Sequence[tuple[str, float]], props: Sequence[str | None] = ()
) -> duckdb.DuckDBPyConnection:
    return history(
        [
            {
                "person_id": person,
                "name": name,
                "occurred_at": START + timedelta(days=day),
                "source_seq": place,
                "properties": props[person] if props and name == "In" else None,
            }
            for person, told in enumerate(people_)
            for place, (name, day) in enumerate(told)
        ]
    )


def ask(connection: duckdb.DuckDBPyConnection, **said: Any) -> DriversResult:
    result = drivers(connection, query(**said), as_of=LATE)
    for one in result.drivers:
        behind = people(connection, query(**said), as_of=LATE, number=one.bucket)
        assert len(behind) == one.n_with
        assert one.interval[0] <= one.difference <= one.interval[1]
        assert one.odds_interval[0] <= one.odds_ratio <= one.odds_interval[1]
    return result


IN, HELP, OUT = ("In", 0.0), ("Help", 1.0), ("Out", 20.0)


def test_a_table_of_two_by_two_is_worked_out_as_by_hand(history: History) -> None:
    told = [[IN, HELP, OUT]] * 12 + [[IN, HELP]] * 8 + [[IN, OUT]] * 6 + [[IN]] * 34
    [one] = ask(crowd(history, *told)).drivers
    assert (one.name, one.n_with, one.k_with, one.n_without, one.k_without) == (
        "Help", 20, 12, 40, 6,
    )  # fmt: skip
    assert (one.share_with, one.share_without) == (0.6, 0.15)
    assert one.lift == pytest.approx(0.6 / 0.3)
    odds = 12.5 * 34.5 / (8.5 * 6.5)
    half = 1.959963984540054 * sqrt(1 / 12.5 + 1 / 8.5 + 1 / 6.5 + 1 / 34.5)
    assert one.odds_ratio == pytest.approx(odds)
    assert one.odds_interval == pytest.approx((exp(log(odds) - half), exp(log(odds) + half)))
    assert one.phi == pytest.approx((12 * 34 - 8 * 6) / sqrt(20 * 40 * 18 * 42))
    assert (one.test, one.q) == ("z", one.p)


def test_everybody_is_watched_for_equally_long(history: History) -> None:
    connection = crowd(
        history,
        [IN, ("Out", 7.0)],  # decided at the last instant of being observed
        [IN, ("Out", 7.001)],
        [IN, ("Out", 37.0)],  # the last instant that counts
        [IN, ("Out", 37.001)],
        [IN, ("Help", 7.001), OUT],  # too late for a feature
        [("In", 330.0)],  # not watched long enough
        [("Help", 0.0)],  # never entered
        [("Help", 0.0), ("In", 1.0)],  # before the entry is no feature
    )
    result = ask(connection, least=5)
    assert (result.n, result.k, result.decided, result.in_progress) == (5, 3, 1, 1)
    who = {"yes": [1, 2, 4], "no": [3, 7], "decided": [0], "in_progress": [5]}
    for fate, expected in who.items():
        number = result.buckets[fate]
        assert people(connection, query(), as_of=LATE, number=number) == expected
    with pytest.raises(BucketInvalid):
        people(connection, query(), as_of=LATE, number='with:["event","Help"]')


def test_the_outcome_in_other_words_is_flagged_and_comes_last(history: History) -> None:
    """research/journeys.md §7, 53."""
    told, props = [], []
    for n in range(120):
        wins, helped = n % 2 == 0, n % 3 == 0 or n % 4 == 0
        told.append([IN, *([HELP] if helped else []), *([OUT] if wins else [])])
        props.append('{"will": "yes"}' if wins else '{"will": "no"}')
    result = ask(crowd(history, *told, props=props), props=["will"])
    assert [one.leaks for one in result.drivers] == [False, True, True]
    assert [one.name for one in result.drivers] == ["Help", "will", "will"]
    assert {one.value for one in result.drivers[1:]} == {"yes", "no"}
    assert result.discoveries <= 1


def test_what_an_identify_call_says_is_no_feature(history: History) -> None:
    """Its values are traits, which are read by who may read profiles."""
    events = [
        {"person_id": n, "type": type_, "name": name, "properties": said, "source_seq": seq,
         "occurred_at": START + timedelta(days=10 * seq)}
        for n in range(60)
        for seq, (type_, name, said) in enumerate([
            ("identify", None, '{"country": "FR"}' if n % 2 else '{"country": "DE"}'),
            ("track", "Out" if n % 2 else "Other", None),
        ])
    ]  # fmt: skip
    for type_, told in (("identify", []), ("track", [True, True])):
        here = [{**one, "type": type_ if one["name"] is None else "track"} for one in events]
        result = ask(history(here), entry={"type": type_}, props=["country"])
        assert [one.kind == "prop" for one in result.drivers] == told


def test_what_is_rare_is_not_tested(history: History) -> None:
    told = [[IN, HELP, OUT]] * 4 + [[IN]] * 30
    result = ask(crowd(history, *told))
    assert (result.tested, result.too_rare, result.drivers) == (0, 1, ())
    assert (ask(crowd(history)).n, ask(crowd(history)).share) == (0, None)


def test_of_many_features_that_mean_nothing_few_are_found(history: History) -> None:
    """Forty coins of 400 people: without the correction two would be found, each time."""
    chance = random.Random(7)  # noqa: S311 - a reproducible history, not a secret
    found = 0
    for _ in range(3):
        told = [
            [IN, *((f"c{n}", 1.0) for n in range(40) if chance.random() < 0.5),
             *([OUT] if chance.random() < 0.3 else [])]
            for _ in range(400)
        ]  # fmt: skip
        result = drivers(crowd(history, *told), query(), as_of=LATE)
        assert result.tested == 40
        found += result.discoveries
    assert found <= 1
