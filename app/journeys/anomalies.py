# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""When a number of a journey is not what it was to be, and when its level changed (research §4.14).

A stretch without any event of the sources that bring the number is a gap of the feed, not a fall.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.activity import Calendar, active
from app.journeys.anomaly_request import AnomaliesQuery, Marker
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.contributors import Contribution, alerts, columns, contributors, labelled
from app.journeys.definition import Frozen, definition_hash
from app.journeys.holidays import french
from app.journeys.match import Match
from app.journeys.predicate import Parameters, known, sql
from app.journeys.series import Judged, Rules, Status, Value, false_alarms, judge, shifts

Connection = duckdb.DuckDBPyConnection

#: How long before an alert or a shift a marker explains it.
EXPLAINS = timedelta(days=7)


class AnomaliesSemantics(Frozen):
    """Every choice behind the alerts."""

    unit: Literal["day", "week"]
    zone: str
    counted: Literal["events", "profiles", "share of the profiles with `per`"]
    expected: Literal["median level x median of the weekday, of the weeks before"] = (
        "median level x median of the weekday, of the weeks before"
    )
    spread: Literal["of the median absolute deviation, at least that of counting"] = (
        "of the median absolute deviation, at least that of counting"
    )
    holiday: Literal["as the same holiday was to a usual day; without one it is not judged"] = (
        "as the same holiday was to a usual day; without one it is not judged"
    )
    shift: Literal["cumulative sum, allowance .5, threshold 5 deviations; likeliest place"] = (
        "cumulative sum, allowance .5, threshold 5 deviations; likeliest place"
    )
    contributors: Literal["the part of the deviation, and of the same weekdays before"] = (
        "the part of the deviation, and of the same weekdays before"
    )
    confidence: float
    least_effect: float
    floor: float


class Point(Frozen):
    """One interval, named by the day it begins; `value` is a share where `per` is asked for."""

    start: str
    value: float
    of: int | None
    expected: float | None
    low: float | None
    high: float | None
    status: Status
    holiday: str | None
    explained_by: tuple[str, ...]
    contributors: tuple[Contribution, ...]
    bucket: str


class Change(Frozen):
    """The level changed at `start` and was noticed at `noticed`; both in standard deviations."""

    start: str
    noticed: str
    before: float
    after: float
    explained_by: tuple[str, ...]


class BackTest(Frozen):
    """What the rules would have raised over all there is, and would where nothing happens."""

    judged: int
    alerts: int
    alerts_per_year: float | None
    by_chance_per_year: float | None
    shifts_by_chance_per_year: float | None


class AnomaliesResult(Frozen):
    """An answer about anomalies; `points` are all intervals, `alerts` those that are not usual.

    `earlier` events are before all intervals that are looked at.
    """

    semantics: AnomaliesSemantics
    points: tuple[Point, ...]
    alerts: int
    feed_gaps: int
    shifts: tuple[Change, ...]
    back_test: BackTest
    earlier: int
    as_of: AwareDatetime
    definition_hash: str


def anomalies(connection: Connection, query: AnomaliesQuery, *, as_of: datetime) -> AnomaliesResult:
    """Judge every interval over the view `event`. Read-only."""
    with active(
        connection,
        _matches(connection, query, as_of),
        unit=query.unit,
        zone=query.zone,
        as_of=as_of,
        range=query.range,
        columns=partial(columns, query),
    ) as calendar:
        values = _values(connection, query, calendar)
        first, last = calendar.within(query.range.start, query.range.end)
        rules = Rules(
            7 if query.unit == "day" else 1,
            query.history,
            query.confidence,
            query.least_effect,
            query.floor,
            query.per is not None,
        )
        judged = judge(values, rules)
        found = [
            one
            for one in alerts(query, calendar.names, values, judged)
            if first <= one.place < last
        ]
        taken_apart = contributors(connection, query, found)
    points = tuple(
        Point(
            start=calendar.names[place],
            value=values[place].value,
            of=int(values[place].of) if query.per else None,
            expected=one.expected,
            low=one.low,
            high=one.high,
            status=one.status,
            holiday=values[place].holiday,
            explained_by=_explained(query.markers, calendar.names[place])
            if one.status in ("high", "low")
            else (),
            contributors=taken_apart.get(place, ()),
            bucket=bucket("at", calendar.names[place]),
        )
        for place, one in enumerate(judged)
        if first <= place < last
    )
    counted: Any = "share of the profiles with `per`" if query.per else query.count
    return AnomaliesResult(
        semantics=AnomaliesSemantics(
            counted=counted,
            **query.model_dump(include={"unit", "zone", "confidence", "least_effect", "floor"}),
        ),
        points=points,
        alerts=sum(one.status in ("high", "low") for one in points),
        feed_gaps=sum(one.status == "feed_gap" for one in points),
        shifts=tuple(_changes(query, calendar, judged, first, last)),
        back_test=_back_test(judged, rules),
        earlier=calendar.earlier,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: Connection, query: AnomaliesQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending.

    `at:2026-01-01` are those of an interval, `of:["2026-01-01",0,"\"web\""]` those of a value of
    the first dimension in it. Raises BucketInvalid.
    """
    kind, place = parse(number)
    with active(
        connection,
        _matches(connection, query, as_of),
        unit=query.unit,
        zone=query.zone,
        as_of=as_of,
        range=query.range,
        columns=partial(columns, query),
    ) as calendar:
        if not place or place[0] not in calendar.names or not _known(query, kind, place):
            raise unknown(number, 'at:2026-01-01, of:["2026-01-01",0,"\\"web\\""]')
        parameters = Parameters()
        whole = kind == "at"
        who = "SELECT * FROM active WHERE does"
        who = who if whole else labelled(query, place[1], parameters)
        value = "true" if whole else f"label IS NOT DISTINCT FROM {parameters.bind(place[2])}"
        rows = connection.execute(
            f"SELECT DISTINCT person_id FROM ({who}) WHERE {value}"
            f" AND place = {parameters.bind(calendar.names.index(place[0]))} ORDER BY person_id",
            parameters.values,
        ).fetchall()
    return [int(row[0]) for row in rows]


def _known(query: AnomaliesQuery, kind: str, place: Sequence[Any]) -> bool:
    if kind == "at":
        return len(place) == 1
    return (
        kind == "of"
        and len(place) == 3
        and type(place[1]) is int
        and 0 <= place[1] < len(query.by)
        and (place[2] is None or isinstance(place[2], str))
    )


def _matches(connection: Connection, query: AnomaliesQuery, as_of: datetime) -> dict[str, Match]:
    """What is counted, what it is a share of, and everything of the sources that bring it."""
    parameters = Parameters()
    rows = connection.execute(
        f"SELECT DISTINCT source FROM event WHERE source IS NOT NULL AND"
        f" {sql(query.match, parameters)} AND {known(as_of, parameters)} ORDER BY source",
        parameters.values,
    ).fetchall()
    feeds = tuple(Match(source=source) for (source,) in rows)
    found = {"does": query.match, "feed": Match(any=feeds) if feeds else query.match}
    return found | ({"whole": query.per} if query.per is not None else {})


def _values(connection: Connection, query: AnomaliesQuery, calendar: Calendar) -> list[Value]:
    whole = "bool_or(whole)" if query.per else "false"
    did = "sum(n)" if query.count == "events" else "count(*) FILTER (n > 0)"
    rows = connection.execute(
        f"""SELECT place, {"count(*) FILTER (n > 0 AND whole)" if query.per else did},
            count(*) FILTER (whole), sum(feed)
        FROM (SELECT person_id, place, count(*) FILTER (does) AS n, {whole} AS whole,
                count(*) FILTER (feed) AS feed FROM active GROUP BY person_id, place)
        GROUP BY place"""
    ).fetchall()
    counts = {place: (n, of, feed) for place, n, of, feed in rows}
    values = []
    for place, name in enumerate(calendar.names):
        n, of, feed = counts.get(place, (0, 0, 0))
        skip: Literal["feed_gap", "incomplete"] | None = None
        if not calendar.complete(place):
            skip = "incomplete"
        elif not feed:
            skip = "feed_gap"
        elif query.per and not of:
            skip = "feed_gap"
        value = n / of if query.per and of else float(n)
        values.append(Value(value, float(of), skip, _holiday(query, name)))
    return values


def _holiday(query: AnomaliesQuery, name: str) -> str | None:
    if query.holidays is None or query.unit != "day":
        return None
    day = date.fromisoformat(name)
    return french(day.year).get(day)


def _explained(markers: Sequence[Marker], start: str) -> tuple[str, ...]:
    day = date.fromisoformat(start)
    return tuple(one.name for one in markers if one.on <= day <= one.on + EXPLAINS)


def _changes(
    query: AnomaliesQuery, calendar: Calendar, judged: Sequence[Judged], first: int, last: int
) -> Iterator[Change]:
    for one in shifts([point.z for point in judged]):
        if first <= one.place < last:
            start = calendar.names[one.place]
            yield Change(
                start=start,
                noticed=calendar.names[one.noticed],
                before=round(one.before, 6),
                after=round(one.after, 6),
                explained_by=_explained(query.markers, start),
            )


def _back_test(judged: Sequence[Judged], rules: Rules) -> BackTest:
    tried = [one for one in judged if one.z is not None]
    alerts = sum(one.status in ("high", "low") for one in tried)
    per_year = 365.25 if rules.season == 7 else 365.25 / 7
    chance = false_alarms(judged, rules)
    return BackTest(
        judged=len(tried),
        alerts=alerts,
        alerts_per_year=alerts / len(tried) * per_year if tried else None,
        by_chance_per_year=chance and chance.alerts,
        shifts_by_chance_per_year=chance and chance.shifts,
    )
