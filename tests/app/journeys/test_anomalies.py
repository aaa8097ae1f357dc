"""Anomalies: exactly the bad day, gaps and holidays apart, shifts, and how often chance alarms."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from math import sqrt
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid
from app.journeys.anomalies import AnomaliesResult, anomalies, people
from app.journeys.anomaly_request import AnomaliesQuery
from app.journeys.holidays import easter, french
from app.journeys.series import Judged, Rules, Value, false_alarms, judge, shifts

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
WEEK = (1.0, 1.1, 1.05, 1.0, 1.3, 0.6, 0.5)


def noisy(seed: int, weeks: int = 26, base: float = 500) -> list[Value]:
    """Counts of a shop with a weekly season, as random as counts are."""
    draw = random.Random(seed)  # noqa: S311 - a reproducible series, not a secret
    days = (base * WEEK[day % 7] for day in range(weeks * 7))
    return [Value(max(0.0, round(draw.gauss(mean, sqrt(mean))))) for mean in days]


def alerts(judged: Sequence[Judged]) -> list[int]:
    return [place for place, one in enumerate(judged) if one.status in ("high", "low")]


def test_exactly_the_bad_day_is_told() -> None:
    """research/journeys.md §7, 60: thirty per cent less on one weekday of 26 weeks."""
    rules, exact, untouched = Rules(7, 8, least_effect=0.2), 0, []
    for seed in range(20):
        series = noisy(seed)
        untouched.append(len(alerts(judge(series, Rules(7, 8)))))
        series = noisy(seed, base=2_000)
        series[100] = Value(round(series[100].value * 0.7))
        exact += alerts(judge(series, rules)) == [100]
    assert exact == 20
    # At 99 % chance raises 1.6 alerts in the 161 days that are judged.
    assert sum(untouched) / 20 <= 2
    assert sum(n <= 2 for n in untouched) >= 15


def test_what_chance_alarms_is_said_beforehand() -> None:
    series = noisy(1, weeks=52)
    for confidence, most in ((0.95, 30.0), (0.99, 8.0), (0.9999, 1.0)):
        rules = Rules(7, 8, confidence, least_effect=0)
        found = false_alarms(judge(series, rules), rules)
        assert found is not None
        assert found.alerts <= most
        assert confidence > 0.95 or found.alerts > 8
    # As many shifts as there are, which is more than once in 465 days: what is expected is a guess.
    judged, rules = [judge(noisy(seed, weeks=60), Rules(7, 8)) for seed in range(20)], Rules(7, 8)
    seen = sum(len(shifts([one.z for one in year[56:]])) for year in judged) / 20
    said = [false_alarms(year, rules) for year in judged[:4]]
    assert seen > 1.2
    assert seen / 2 < sum(one.shifts for one in said if one) / 4 < 2 * seen
    assert false_alarms(judge(series[:30], Rules(7, 8)), Rules(7, 8)) is None


def test_a_shift_of_one_deviation_is_found_where_it_is() -> None:
    """research/journeys.md §7, 61: within ten points in nine of ten of 200 series."""
    near, false = 0, 0
    for seed in range(200):
        draw = random.Random(seed)  # noqa: S311 - a reproducible series, not a secret
        zs: list[float | None] = [draw.gauss(0, 1) for _ in range(60)]
        false += bool(shifts(zs))
        zs += [draw.gauss(1, 1) for _ in range(60)]
        near += any(abs(one.place - 60) <= 10 for one in shifts(zs))
    assert near >= 180
    assert false <= 40  # one in 465 points by chance: 12 % of 60
    assert shifts([0.0, None, 0.0] * 30) == []
    up_and_down: list[float | None] = [*[0.0] * 30, *[3.0] * 30, *[0.0] * 30]
    assert [one.place for one in shifts(up_and_down)] == [30, 60]


def test_a_holiday_is_held_against_the_one_of_last_year() -> None:
    """research/journeys.md §7, 60: the first of May, in the second year."""
    first = date(2025, 1, 6)
    days = [first + timedelta(days=n) for n in range(500)]
    series = []
    for place, day in enumerate(days):
        name = french(day.year).get(day)
        usual = 500 * WEEK[place % 7]
        series.append(Value(usual * (0.3 if name == "1 may" else 1.0), holiday=name))
    judged = {day: one.status for day, one in zip(days, judge(series, Rules(7, 8)), strict=True)}
    assert judged[date(2025, 5, 1)] == "holiday"  # nothing to hold it against
    assert judged[date(2026, 5, 1)] == "usual"
    assert judged[date(2026, 4, 30)] == "usual"
    ordinary = [Value(one.value) for one in series]
    told = {d: one.status for d, one in zip(days, judge(ordinary, Rules(7, 8)), strict=True)}
    assert told[date(2026, 5, 1)] == "low"


def test_holidays_of_france_fall_on_their_days() -> None:
    assert [easter(year) for year in (2024, 2025, 2026, 2038)] == [
        date(2024, 3, 31), date(2025, 4, 20), date(2026, 4, 5), date(2038, 4, 25),
    ]  # fmt: skip
    assert french(2026)[date(2026, 5, 14)] == "ascension"
    assert french(2026)[date(2026, 5, 25)] == "whit monday"
    assert len(french(2026)) == 11


def shop(history: History, counts: Sequence[int]) -> duckdb.DuckDBPyConnection:
    """So many orders a day, each of another person, and twice as many visits of theirs."""
    return history(
        [
            {"person_id": person, "name": name, "occurred_at": START + timedelta(days=day, hours=9)}
            for day, n in enumerate(counts)
            for person in range(2 * n)
            for name in (("Visit", "Order") if person < n else ("Visit",))
        ]
    )


def ask(
    connection: duckdb.DuckDBPyConnection, days: float, **said: Any
) -> tuple[AnomaliesQuery, AnomaliesResult]:
    query = AnomaliesQuery.model_validate({"match": {"event": "Order"}, **said})
    return query, anomalies(connection, query, as_of=START + timedelta(days=days))


def test_a_missing_day_is_a_gap_of_the_feed_and_today_is_not_over(history: History) -> None:
    counts = [40] * 50
    counts[30], counts[40] = 0, 15
    connection = shop(history, counts)
    marker = {"on": "2026-02-12", "name": "release 7"}
    query, result = ask(connection, 49.5, markers=[marker])
    by = {one.start: one for one in result.points}
    assert {one.status for one in result.points[:21]} == {"learning"}
    assert by["2026-02-04"].status == "feed_gap"
    assert (by["2026-02-14"].status, by["2026-02-14"].explained_by) == ("low", ("release 7",))
    assert by["2026-02-14"].expected == 40
    assert result.points[-1].status == "incomplete"
    assert (result.alerts, result.feed_gaps, result.back_test.alerts) == (1, 1, 1)
    behind = people(
        connection, query, as_of=START + timedelta(days=49.5), number=by["2026-02-14"].bucket
    )
    assert behind == list(range(15))
    for wrong in ("at:2020-01-01", "step:1"):
        with pytest.raises(BucketInvalid):
            people(connection, query, as_of=START + timedelta(days=49.5), number=wrong)


def test_one_event_of_long_ago_changes_nothing_of_what_is_said_of_now(history: History) -> None:
    counts = [40] * 50
    counts[40] = 15
    _, plain = ask(shop(history, counts), 49.5)
    counted = shop(history, counts)
    counted.execute(
        "INSERT INTO kept SELECT * REPLACE ('1970-01-01'::TIMESTAMPTZ AS occurred_at,"
        " -1 AS event_id) FROM kept WHERE name = 'Order' LIMIT 1"
    )
    _, result = ask(counted, 49.5)
    assert (len(result.points), result.earlier, plain.earlier) == (2_000, 1, 0)
    assert result.points[-50:] == plain.points
    assert (result.alerts, result.shifts, result.back_test) == (
        plain.alerts, plain.shifts, plain.back_test,
    )  # fmt: skip
    _, ranged = ask(counted, 49.5, range={"from": START + timedelta(days=30)})
    assert (ranged.points, ranged.earlier) == (plain.points[30:], 0)


def test_a_share_is_held_against_its_own_kind_of_chance(history: History) -> None:
    connection = shop(history, [40] * 40)
    _, result = ask(connection, 39.9, per={"event": "Visit"})
    assert {(one.value, one.of) for one in result.points} == {(0.5, 80)}
    assert result.alerts == 0
    _, few = ask(shop(history, [4] * 39 + [1]), 40, count="events")
    assert few.alerts == 0  # under the floor


def test_nothing_to_judge(history: History) -> None:
    _, empty = ask(history([]), 10)
    assert (empty.alerts, empty.back_test.judged, empty.back_test.alerts_per_year) == (0, 0, None)
    with pytest.raises(ValidationError, match="a share is of profiles"):
        ask(history([]), 10, per={"event": "Visit"}, count="events")
