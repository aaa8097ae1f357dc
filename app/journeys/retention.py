# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How many of those who start come back, interval by interval (research §4.11)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.activity import Calendar, active
from app.journeys.activity_request import RetentionQuery
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.calendars import Unit
from app.journeys.definition import Frozen, definition_hash
from app.journeys.predicate import microseconds

Connection = duckdb.DuckDBPyConnection

_LENGTH = {"day": 86_400_000_000, "week": 604_800_000_000}


class RetentionSemantics(Frozen):
    """Every choice behind the numbers of retention."""

    unit: Unit
    zone: str
    week_starts: Literal["monday"] = "monday"
    mode: Literal["first_time", "recurring"]
    windows: Literal["calendar", "rolling"]
    count: Literal["on", "on_or_after"]
    back: Literal["an event from the start on"] = "an event from the start on"
    mean: Literal["of complete cells, weighted by the size of their cohort"] = (
        "of complete cells, weighted by the size of their cohort"
    )


class Cell(Frozen):
    """Of one cohort, who came back in interval `k`; `incomplete` while that is not over."""

    k: int
    n: int
    share: float | None
    incomplete: bool
    bucket: str


class Cohort(Frozen):
    """Those who started in one interval, named by the day it begins."""

    start: str
    size: int
    incomplete: bool
    cells: tuple[Cell, ...]
    bucket: str


class Mean(Frozen):
    """Over all cohorts whose interval `k` is over."""

    k: int
    share: float | None
    n: int
    size: int
    cohorts: int


class RetentionResult(Frozen):
    """An answer about retention; intervals that have not begun are left out.

    `earlier` events are before all cohorts that are shown.
    """

    semantics: RetentionSemantics
    profiles: int
    cohorts: tuple[Cohort, ...]
    mean: tuple[Mean, ...]
    earlier: int
    as_of: AwareDatetime
    definition_hash: str


def retention(connection: Connection, query: RetentionQuery, *, as_of: datetime) -> RetentionResult:
    """Count who comes back over the view `event`. Read-only."""
    with _pairs(connection, query, as_of) as calendar:
        sizes = dict(
            connection.execute(
                "SELECT cohort, count(DISTINCT person_id) FROM member GROUP BY cohort"
            ).fetchall()
        )
        [(profiles,)] = connection.execute(
            "SELECT count(DISTINCT person_id) FROM member"
        ).fetchall()
        counts = {
            (cohort, k): n
            for cohort, k, n in connection.execute(
                f"{_RETURNED} SELECT cohort, k, count(DISTINCT person_id) FROM returned"
                " GROUP BY cohort, k",
                {"most": query.intervals},
            ).fetchall()
        }
        cohorts = tuple(
            Cohort(
                start=calendar.names[place],
                size=sizes[place],
                incomplete=not calendar.complete(place),
                cells=tuple(_cells(query, calendar, place, sizes[place], counts)),
                bucket=bucket("cohort", calendar.names[place]),
            )
            for place in sorted(sizes)
        )
    said = query.model_dump(include={"unit", "zone", "mode", "windows", "count"})
    return RetentionResult(
        semantics=RetentionSemantics(**said),
        profiles=profiles,
        cohorts=cohorts,
        mean=tuple(_mean(query, cohorts)),
        earlier=calendar.earlier,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: Connection, query: RetentionQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `cohort:2026-01-01`, or `cell:` with the
    cohort and k.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    with _pairs(connection, query, as_of) as calendar:
        places = {name: number_ for number_, name in enumerate(calendar.names)}
        if kind == "cohort" and place[0] in places:
            rows = connection.execute(
                "SELECT DISTINCT person_id FROM member WHERE cohort = $cohort ORDER BY person_id",
                {"cohort": places[place[0]]},
            ).fetchall()
        elif (
            kind == "cell"
            and len(place) == 2
            and place[0] in places
            and place[1] in range(query.intervals + 1)
        ):
            rows = connection.execute(
                f"{_RETURNED} SELECT DISTINCT person_id FROM returned"
                " WHERE cohort = $cohort AND k = $k ORDER BY person_id",
                {"cohort": places[place[0]], "k": place[1], "most": query.intervals},
            ).fetchall()
        else:
            raise unknown(number, "cohort:2026-01-01, cell:[2026-01-01,1]")
    return [int(row[0]) for row in rows]


#: Who came back in which interval after the start of their cohort.
_RETURNED = """
WITH returned AS (
    SELECT cohort, person_id, unnest(ks) AS k FROM (
        SELECT cohort, person_id, list_filter(ks, lambda one: one <= $most) AS ks FROM reached))
"""


@contextmanager
def _pairs(connection: Connection, query: RetentionQuery, as_of: datetime) -> Iterator[Calendar]:
    """Hold in tables who is of which cohort, `member`, and when they came back, `reached`."""
    back = query.back or query.start
    matches = {"starts": query.start, "comes": back}
    with active(
        connection,
        matches,
        unit=query.unit,
        zone=query.zone,
        as_of=as_of,
        range=query.range,
        after=query.intervals,
    ) as calendar:
        values: dict[str, object] = {"lead": calendar.lead}
        inside = []
        for name, test, moment in (
            ("low", ">=", query.range.start),
            ("high", "<", query.range.end),
        ):
            if moment is not None:
                inside.append(f"t {test} ${name}::BIGINT")
                values[name] = microseconds(moment)
        within = " AND ".join(inside) or "true"
        first = (
            "SELECT person_id, min(t) AS t, arg_min(place, t) AS cohort FROM active WHERE starts"
            " GROUP BY person_id"
            if query.mode == "first_time"
            else "SELECT person_id, min(t) AS t, place AS cohort FROM active WHERE starts"
            f" AND {within} GROUP BY person_id, place"
        )
        connection.execute(
            f"CREATE TEMP TABLE member AS SELECT * FROM ({first}) WHERE {within}"
            " AND cohort >= $lead",
            values,
        )
        try:
            k = "a.place - m.cohort"
            if query.windows == "rolling":
                k = f"(a.t - m.t) // {_LENGTH[query.unit]}"
            ks = "list(DISTINCT k)"
            if query.count == "on_or_after":
                ks = "range(max(k) + 1)"
            connection.execute(
                f"""CREATE TEMP TABLE reached AS SELECT cohort, person_id, {ks} AS ks
                FROM (SELECT m.cohort, m.person_id, {k} AS k FROM member m
                    JOIN active a ON a.person_id = m.person_id AND a.comes AND a.t >= m.t)
                GROUP BY cohort, person_id"""
            )
            try:
                yield calendar
            finally:
                connection.execute("DROP TABLE reached")
        finally:
            connection.execute("DROP TABLE member")


def _cells(
    query: RetentionQuery,
    calendar: Calendar,
    place: int,
    size: int,
    counts: dict[tuple[int, int], int],
) -> Iterator[Cell]:
    for k in range(query.intervals + 1):
        begins, ends = _span(query, calendar, place, k)
        if begins is None or begins > calendar.as_of:
            return
        n = counts.get((place, k), 0)
        yield Cell(
            k=k,
            n=n,
            share=n / size if size else None,
            incomplete=ends is None or ends > calendar.as_of,
            bucket=bucket("cell", calendar.names[place], k),
        )


def _span(
    query: RetentionQuery, calendar: Calendar, place: int, k: int
) -> tuple[datetime | None, datetime | None]:
    """When interval k of a cohort begins for the first of them, and is over for the last."""
    if query.windows == "calendar":
        after = place + k
        begins = calendar.bounds[after] if after < len(calendar.names) else None
        return begins, calendar.bounds[after + 1] if begins is not None else None
    length = timedelta(microseconds=_LENGTH[query.unit])
    return calendar.bounds[place] + k * length, calendar.bounds[place + 1] + (k + 1) * length


def _mean(query: RetentionQuery, cohorts: Iterable[Cohort]) -> Iterator[Mean]:
    for k in range(query.intervals + 1):
        cells = [(one, c) for one in cohorts for c in one.cells if c.k == k and not c.incomplete]
        size, n = sum(one.size for one, _ in cells), sum(cell.n for _, cell in cells)
        if not cells:
            return
        yield Mean(k=k, share=n / size, n=n, size=size, cohorts=len(cells))
