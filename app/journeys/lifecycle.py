# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Who is new, comes again, comes back, or stays away; and how often people come (research §4.11).

In every interval active = new + returning + resurrecting, and dormant is those of the interval
before who are not returning, as a negative number.
"""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, get_args

import duckdb
from pydantic import AwareDatetime

from app.journeys.activity import Calendar, active
from app.journeys.activity_request import LifecycleQuery, StickinessQuery
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.calendars import Unit
from app.journeys.definition import Frozen, definition_hash

Connection = duckdb.DuckDBPyConnection
Phase = Literal["new", "returning", "resurrecting", "dormant"]

PHASES: tuple[Phase, ...] = get_args(Phase)


class LifecycleSemantics(Frozen):
    """Every choice behind the numbers of a lifecycle."""

    unit: Unit
    zone: str
    week_starts: Literal["monday"] = "monday"
    new: Literal["active for the first time ever"] = "active for the first time ever"
    returning: Literal["active in the interval before too"] = "active in the interval before too"
    resurrecting: Literal["active before, but not in the interval before"] = (
        "active before, but not in the interval before"
    )
    dormant: Literal["active in the interval before and not in this one; negative"] = (
        "active in the interval before and not in this one; negative"
    )


class Interval(Frozen):
    """One interval, named by the day it begins; `incomplete` while it is not over."""

    start: str
    active: int
    new: int
    returning: int
    resurrecting: int
    dormant: int
    incomplete: bool
    buckets: dict[str, str]


class LifecycleResult(Frozen):
    """An answer about a lifecycle; `earlier` events are before all intervals that are shown."""

    semantics: LifecycleSemantics
    profiles: int
    intervals: tuple[Interval, ...]
    earlier: int
    as_of: AwareDatetime
    definition_hash: str


class StickinessSemantics(Frozen):
    """Every choice behind the numbers of stickiness."""

    unit: Unit
    zone: str
    week_starts: Literal["monday"] = "monday"
    ratio: Literal["mean of people active per complete interval / people active in any of them"] = (
        "mean of people active per complete interval / people active in any of them"
    )


class Bar(Frozen):
    """How many people were active in exactly so many intervals, and in at least so many."""

    intervals: int
    profiles: int
    share: float
    at_least: int
    bucket: str


class StickinessResult(Frozen):
    """An answer about stickiness; an interval that is not over is in the bars, not in `ratio`.

    `earlier` events are before all intervals that are looked at.
    """

    semantics: StickinessSemantics
    profiles: int
    of_intervals: int
    complete_intervals: int
    bars: tuple[Bar, ...]
    mean_intervals: float | None
    ratio: float | None
    earlier: int
    as_of: AwareDatetime
    definition_hash: str


def _active(
    connection: Connection, query: LifecycleQuery | StickinessQuery, as_of: datetime
) -> AbstractContextManager[Calendar]:
    return active(
        connection,
        {"does": query.activity},
        unit=query.unit,
        zone=query.zone,
        as_of=as_of,
        range=query.range,
    )


#: In which intervals somebody was active, and in which before; and who is missing after each.
_PHASES = """
WITH present AS (
    SELECT person_id, place, lag(place) OVER (PARTITION BY person_id ORDER BY place) AS before,
        lead(place) OVER (PARTITION BY person_id ORDER BY place) AS following
    FROM (SELECT DISTINCT person_id, place FROM active)),
phase AS (
    SELECT person_id, place, CASE WHEN before IS NULL THEN 'new'
        WHEN before = place - 1 THEN 'returning' ELSE 'resurrecting' END AS phase
    FROM present
    UNION ALL
    SELECT person_id, place + 1, 'dormant' FROM present
    WHERE following IS DISTINCT FROM place + 1)
"""


def lifecycle(connection: Connection, query: LifecycleQuery, *, as_of: datetime) -> LifecycleResult:
    """Count people by phase over the view `event`. Read-only."""
    with _active(connection, query, as_of) as calendar:
        counts = {
            (place, phase): n
            for place, phase, n in connection.execute(
                f"{_PHASES} SELECT place, phase, count(*) FROM phase GROUP BY place, phase"
            ).fetchall()
        }
        first, last = calendar.within(query.range.start, query.range.end)
        total = connection.execute(
            "SELECT count(DISTINCT person_id) FROM active WHERE place >= $first AND place < $last",
            {"first": first, "last": last},
        ).fetchall()
    intervals = []
    for place in range(first, last):
        new, returning, resurrecting, dormant = (counts.get((place, p), 0) for p in PHASES)
        intervals.append(
            Interval(
                start=calendar.names[place],
                active=new + returning + resurrecting,
                new=new,
                returning=returning,
                resurrecting=resurrecting,
                dormant=-dormant,
                incomplete=not calendar.complete(place),
                buckets={phase: bucket(phase, calendar.names[place]) for phase in PHASES},
            )
        )
    return LifecycleResult(
        semantics=LifecycleSemantics(unit=query.unit, zone=query.zone),
        profiles=total[0][0],
        intervals=tuple(intervals),
        earlier=calendar.earlier,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: Connection, query: LifecycleQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: a phase and an interval, `new:2026-01-01`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    with _active(connection, query, as_of) as calendar:
        if kind not in PHASES or place[0] not in calendar.names:
            raise unknown(number, "new:2026-01-01, returning:…, resurrecting:…, dormant:…")
        rows = connection.execute(
            f"{_PHASES} SELECT person_id FROM phase WHERE phase = $phase AND place = $place"
            " ORDER BY person_id",
            {"phase": kind, "place": calendar.names.index(place[0])},
        ).fetchall()
    return [int(row[0]) for row in rows]


_DAYS = """
WITH days AS (
    SELECT person_id, count(DISTINCT place) AS n FROM active
    WHERE place >= $first AND place < $last GROUP BY person_id)
"""


def stickiness(
    connection: Connection, query: StickinessQuery, *, as_of: datetime
) -> StickinessResult:
    """Count in how many intervals people are active over the view `event`. Read-only."""
    with _active(connection, query, as_of) as calendar:
        first, last = calendar.within(query.range.start, query.range.end)
        span = {"first": first, "last": last}
        counts = connection.execute(
            f"{_DAYS} SELECT n, count(*) FROM days GROUP BY n ORDER BY n", span
        ).fetchall()
        over = sum(calendar.complete(place) for place in range(first, last))
        [(visits, visitors)] = connection.execute(
            "SELECT count(DISTINCT (person_id, place)), count(DISTINCT person_id) FROM active"
            " WHERE place >= $first AND place < $over",
            {"first": first, "over": first + over},
        ).fetchall()
    total = sum(n for _, n in counts)
    bars, left = [], total
    for intervals, n in counts:
        bars.append(
            Bar(
                intervals=intervals,
                profiles=n,
                share=n / total,
                at_least=left,
                bucket=bucket("active", intervals),
            )
        )
        left -= n
    return StickinessResult(
        semantics=StickinessSemantics(unit=query.unit, zone=query.zone),
        profiles=total,
        of_intervals=last - first,
        complete_intervals=over,
        bars=tuple(bars),
        mean_intervals=sum(k * n for k, n in counts) / total if total else None,
        ratio=visits / over / visitors if visitors else None,
        earlier=calendar.earlier,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def sticking(
    connection: Connection, query: StickinessQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `active:3` for exactly three intervals.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    if kind != "active" or not isinstance(place[0], int):
        raise unknown(number, "active:3")
    with _active(connection, query, as_of) as calendar:
        first, last = calendar.within(query.range.start, query.range.end)
        rows = connection.execute(
            f"{_DAYS} SELECT person_id FROM days WHERE n = $n ORDER BY person_id",
            {"first": first, "last": last, "n": place[0]},
        ).fetchall()
    return [int(row[0]) for row in rows]
