"""Retention, lifecycle and stickiness: small calendars by hand, a plain reference, and CDNOW."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from app.errors import BucketInvalid, DefinitionInvalid
from app.journeys import lifecycle as phases
from app.journeys import retention as returns
from app.journeys.activity_request import LifecycleQuery, RetentionQuery, StickinessQuery
from app.journeys.calendars import starts
from app.journeys.retention import RetentionResult
from tests.real_data import need

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]
Days = Sequence[float]

START = datetime(2026, 1, 1, tzinfo=UTC)
BUY = {"event": "Buy"}


def at(days: float) -> datetime:
    return START + timedelta(days=days)


def crowd(history: History, *people_: Days, name: str = "Buy") -> duckdb.DuckDBPyConnection:
    return history(
        [
            {"person_id": person, "name": name, "occurred_at": at(day)}
            for person, days in enumerate(people_)
            for day in days
        ]
    )


def count(connection: duckdb.DuckDBPyConnection, as_of: float, **said: Any) -> RetentionResult:
    query = RetentionQuery.model_validate({"start": BUY, "unit": "day", **said})
    return returns.retention(connection, query, as_of=at(as_of))


def ask(connection: duckdb.DuckDBPyConnection, as_of: float, **said: Any) -> RetentionResult:
    query = RetentionQuery.model_validate({"start": BUY, "unit": "day", **said})
    result = count(connection, as_of, **said)
    for cohort in result.cohorts:
        for cell in cohort.cells:
            behind = returns.people(connection, query, as_of=at(as_of), number=cell.bucket)
            assert len(behind) == cell.n, cell
    return result


def table(result: RetentionResult) -> dict[str, list[str]]:
    """Cohorts as `n` per cell, with a star for what is not over."""
    return {
        one.start[8:]: [f"{c.n}{'*' if c.incomplete else ''}" for c in one.cells]
        for one in result.cohorts
    }


def test_a_cohort_is_of_the_first_time_and_an_interval_that_is_not_over_is_no_fall(
    history: History,
) -> None:
    connection = crowd(history, [0, 1, 2.2], [0.5, 2], [1.1])
    result = ask(connection, 2.5)
    assert table(result) == {"01": ["2", "1", "2*"], "02": ["1", "0*"]}
    assert [(one.k, one.n, one.size, one.cohorts) for one in result.mean] == [
        (0, 3, 3, 2), (1, 1, 2, 1),
    ]  # fmt: skip
    assert table(ask(connection, 3)) == {
        "01": ["2", "1", "2", "0*"], "02": ["1", "0", "0*"],
    }  # fmt: skip


def test_recurring_counts_people_in_every_interval_they_are_in(history: History) -> None:
    connection = crowd(history, [0, 1, 2], [0])
    assert table(ask(connection, 2.9, mode="recurring")) == {
        "01": ["2", "1", "1*"], "02": ["1", "1*"], "03": ["1*"],
    }  # fmt: skip


def test_rolling_days_are_counted_from_each_own_start(history: History) -> None:
    connection = crowd(history, [0.9, 1.8], [0.1, 1.1])
    assert table(ask(connection, 9, intervals=1)) == {"01": ["2", "2"]}
    assert table(ask(connection, 9, intervals=1, windows="rolling")) == {"01": ["2", "1"]}


def test_on_or_after_counts_who_comes_then_or_later(history: History) -> None:
    connection = crowd(history, [0, 3], [0, 1], [0])
    assert table(ask(connection, 9, intervals=3, count="on_or_after")) == {
        "01": ["3", "2", "1", "1"]
    }


def test_coming_back_may_be_another_event_and_counts_from_the_start_on(history: History) -> None:
    connection = history(
        [
            {"person_id": 1, "name": name, "occurred_at": at(day)}
            for name, day in (("Look", 0.1), ("Buy", 0.5), ("Look", 1.0))
        ]
    )
    result = ask(connection, 5, back={"event": "Look"}, intervals=1)
    assert table(result) == {"01": ["0", "1"]}


def test_days_weeks_and_months_are_those_of_the_place() -> None:
    day = timedelta(hours=1)
    spring = starts("day", "Europe/Paris", datetime(2026, 3, 28, 12, tzinfo=UTC),
                    datetime(2026, 3, 30, 12, tzinfo=UTC))  # fmt: skip
    assert [(b - a) / day for a, b in pairwise(spring)] == [24, 23, 24]
    # A day without a midnight, one that begins twice, and one that there was not.
    for zone, first, hours in (
        ("America/Sao_Paulo", datetime(2018, 11, 3, 12, tzinfo=UTC), [24, 23, 24]),
        ("America/Havana", datetime(2023, 11, 4, 12, tzinfo=UTC), [24, 25, 24]),
        ("Pacific/Apia", datetime(2011, 12, 29, 12, tzinfo=UTC), [24, 24, 24]),
    ):
        days = starts("day", zone, first, first + timedelta(days=2))
        assert [(b - a) / day for a, b in pairwise(days)] == hours
    [monday, *_] = starts("week", "UTC", datetime(2026, 3, 29, tzinfo=UTC),
                          datetime(2026, 3, 29, tzinfo=UTC))  # fmt: skip
    assert monday.date() == date(2026, 3, 23)
    months = starts("month", "UTC", at(0), at(31))
    assert [one.date() for one in months] == [date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    # The same instant is of another day elsewhere.
    [here, *_] = starts("day", "Pacific/Auckland", at(0.6), at(0.6))
    assert here == datetime(2026, 1, 1, 11, tzinfo=UTC)


def test_everybody_active_is_new_returning_or_back_and_the_rest_is_dormant(
    history: History,
) -> None:
    connection = crowd(history, [0, 1, 3], [0], [1, 2], [3])
    query = LifecycleQuery.model_validate({"activity": BUY, "unit": "day"})
    result = phases.lifecycle(connection, query, as_of=at(4.5))
    assert [
        (one.active, one.new, one.returning, one.resurrecting, one.dormant, one.incomplete)
        for one in result.intervals
    ] == [
        (2, 2, 0, 0, 0, False),
        (2, 1, 1, 0, -1, False),
        (1, 0, 1, 0, -1, False),
        (2, 1, 0, 1, -1, False),
        (0, 0, 0, 0, -2, True),
    ]
    for one in result.intervals:
        for phase, number in one.buckets.items():
            behind = phases.people(connection, query, as_of=at(4.5), number=number)
            assert len(behind) == abs(getattr(one, phase)), number
    # The range bounds what is shown, not what is known of the time before it.
    part = LifecycleQuery.model_validate({**query.model_dump(), "range": {"from": at(3)}})
    assert phases.lifecycle(connection, part, as_of=at(4.5)).intervals == result.intervals[3:]


def test_stickiness_counts_intervals_per_person(history: History) -> None:
    connection = crowd(history, [0, 0.1, 1, 3], [0], [1, 2], [4])
    query = StickinessQuery.model_validate({"activity": BUY})
    result = phases.stickiness(connection, query, as_of=at(4.5))
    assert [(bar.intervals, bar.profiles, bar.at_least) for bar in result.bars] == [
        (1, 2, 4), (2, 1, 2), (3, 1, 1),
    ]  # fmt: skip
    assert (result.of_intervals, result.complete_intervals) == (5, 4)
    assert (result.mean_intervals, result.ratio) == (7 / 4, 6 / 4 / 3)
    for bar in result.bars:
        behind = phases.sticking(connection, query, as_of=at(4.5), number=bar.bucket)
        assert len(behind) == bar.profiles


def test_what_cannot_be_meant_is_refused(history: History) -> None:
    for wrong in (
        {"windows": "rolling", "mode": "recurring"},
        {"windows": "rolling", "unit": "month"},
        {"zone": "Mars/Base"},
        {"zone": "../../etc/passwd"},
    ):
        with pytest.raises(ValidationError):
            RetentionQuery.model_validate({"start": BUY, **wrong})
    connection = crowd(history, [0, 3_000])
    with pytest.raises(DefinitionInvalid, match="more than 2000 intervals"):
        ask(connection, 3_001, range={"from": at(0)})
    query = RetentionQuery.model_validate({"start": BUY})
    for number in ("cohort:2020-01-01", "cell:x", "step:1", 'cell:["2025-12-29",99]'):
        with pytest.raises(BucketInvalid):
            returns.people(connection, query, as_of=at(1), number=number)
    # What failed has left nothing behind.
    assert ask(crowd(history), 1).cohorts == ()
    assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (1,)


#: One event of the year 1 beside fifteen years; two days are alike in all that comes after them.
LONG = ([-738_000, 0, 1], [0, 2], [5_478, 5_479, 5_481], [5_478, 5_480], [5_479])
RANGES: Sequence[Mapping[str, Any]] = (
    {"from": at(5_477)},
    {"from": at(5_478), "to": at(5_481)},
    {"to": at(3)},
    {"from": at(0), "to": at(3)},
)


@pytest.mark.parametrize("range_", RANGES, ids=["since", "between", "until", "long ago"])
def test_an_event_of_long_ago_disables_nothing(history: History, range_: Mapping[str, Any]) -> None:
    """The numbers are those that counting by hand gives, however far back events lie."""
    connection, now = crowd(history, *LONG), at(5_482)
    for mode in ("first_time", "recurring"):
        result = ask(connection, 5_482, mode=mode, range=range_, intervals=3)
        starts_ = {
            day for days in LONG for day in (days if mode == "recurring" else days[:1])
            if range_.get("from", at(-738_001)) <= at(day) < range_.get("to", now)
            and day > -730_000
        }  # fmt: skip
        assert [one.start for one in result.cohorts] == [
            at(day).date().isoformat() for day in sorted(starts_)
        ]
        for one in result.cohorts:
            begun = (date.fromisoformat(one.start) - START.date()).days
            members = [
                days for days in LONG
                if begun in (days if mode == "recurring" else days[:1])
            ]  # fmt: skip
            assert [cell.n for cell in one.cells] == [
                sum(begun + k in days for days in members) for k in range(4) if begun + k <= 5_482
            ]
    asked = LifecycleQuery.model_validate({"activity": BUY, "unit": "day", "range": range_})
    for interval in phases.lifecycle(connection, asked, as_of=now).intervals:
        day = (date.fromisoformat(interval.start) - START.date()).days
        here = [days for days in LONG if day in days]
        assert (interval.active, interval.new, interval.returning, interval.dormant) == (
            len(here),
            sum(days[0] == day for days in here),
            sum(day - 1 in days for days in here),
            -sum(day - 1 in days and day not in days for days in LONG),
        )
        for phase, number in interval.buckets.items() if here else ():
            behind = phases.people(connection, asked, as_of=now, number=number)
            assert len(behind) == abs(getattr(interval, phase)), number


def test_without_a_range_the_last_intervals_are_looked_at_and_what_is_before_them_is_counted(
    history: History,
) -> None:
    connection, now = crowd(history, *LONG), at(5_482)
    result = ask(connection, 5_482)
    assert table(result) == {"31": ["2", "1", "1", "1", "0*"], "01": ["1", "0", "0", "0*"]}
    assert result.earlier == 5
    asked = LifecycleQuery.model_validate({"activity": BUY, "unit": "day"})
    phases_ = phases.lifecycle(connection, asked, as_of=now)
    assert (len(phases_.intervals), phases_.profiles, phases_.earlier) == (2_000, 3, 5)
    often = StickinessQuery.model_validate({"activity": BUY})
    bars = phases.stickiness(connection, often, as_of=now)
    assert (bars.of_intervals, bars.profiles, bars.earlier) == (2_000, 3, 5)
    [since] = [r for r in RANGES if r == {"from": at(5_477)}]
    assert ask(connection, 5_482, range=since).earlier == 0  # a range leaves them out
    assert ask(crowd(history, [0]), 1).earlier == 0


@pytest.mark.parametrize("mode", ["first_time", "recurring"])
def test_random_histories_are_counted_as_by_the_reference(history: History, mode: str) -> None:
    chance = random.Random(mode)  # noqa: S311 - a reproducible history, not a secret
    told = [
        sorted({chance.randrange(0, 20) for _ in range(chance.randrange(0, 6))}) for _ in range(50)
    ]
    result = count(crowd(history, *told), 20, mode=mode, intervals=19)
    expected: Counter[tuple[int, int]] = Counter()
    for days in told:
        for cohort in days[:1] if mode == "first_time" else days:
            expected.update((cohort, day - cohort) for day in days if day >= cohort)
    found = {
        ((date.fromisoformat(one.start) - START.date()).days, cell.k): cell.n
        for one in result.cohorts
        for cell in one.cells
        if cell.n
    }
    assert found == expected


@pytest.mark.long
def test_cdnow_comes_back_as_published(history: History) -> None:
    """research/journeys.md §7, 54 to 56."""
    cdnow = need("data/journeys/cdnow/CDNOW_master.txt")
    rows = [line.split() for line in cdnow.read_text().splitlines() if line.strip()][1:]
    connection = history(
        [
            {
                "person_id": int(row[0]),
                "name": "Buy",
                "occurred_at": datetime.strptime(row[1], "%Y%m%d").replace(tzinfo=UTC),
            }
            for row in rows
        ]
    )
    end = datetime(1998, 6, 30, 23, tzinfo=UTC)
    query = RetentionQuery.model_validate({"start": BUY, "unit": "month", "intervals": 18})
    first, second, third, *rest = returns.retention(connection, query, as_of=end).cohorts
    assert rest == []
    assert (first.size, first.cells[1].n, first.cells[2].n) == (7_846, 1_157, 964)
    assert (second.size, second.cells[1].n) == (8_476, 1_312)
    assert (third.size, third.cells[1].n) == (7_248, 1_032)
    assert first.cells[17].incomplete  # June 1998, an hour before it is over
    assert not first.cells[16].incomplete
    lively = LifecycleQuery.model_validate({"activity": BUY})
    result = phases.lifecycle(connection, lively, as_of=end)
    february, march = result.intervals[1:3]
    assert (february.new, february.returning, february.resurrecting, february.dormant) == (
        8_476, 1_157, 0, -6_689,
    )  # fmt: skip
    assert (march.new, march.returning, march.resurrecting, march.dormant) == (
        7_248, 1_681, 595, -7_952,
    )  # fmt: skip
    before = 0
    for one in result.intervals:
        assert one.active == one.new + one.returning + one.resurrecting
        assert one.dormant == one.returning - before
        before = one.active
    assert [one.incomplete for one in result.intervals].count(True) == 1
