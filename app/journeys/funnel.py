# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How many go from step to step, under rules that are all named (research/journeys.md §4.1).

An attempt starts at an event that fits step 1 and takes, for each next step, the earliest later
event that fits. Everything a product could silently choose (which entry, how ties fall, what ends
an attempt) is a parameter or is echoed in `semantics`.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

import duckdb

from app.journeys.attempts import attempts
from app.journeys.attributes import Attribute
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import definition_hash
from app.journeys.funnel_answer import (
    PERCENTILES,
    FunnelRates,
    FunnelResult,
    FunnelRow,
    FunnelStatus,
    FunnelStep,
    TimeToConvert,
    semantics,
)
from app.journeys.funnel_request import FunnelRequest
from app.journeys.incidence import At, curve
from app.journeys.predicate import Parameters, microseconds

Status = Literal["converted", "dropped", "in_progress", "excluded"]

KEPT = "status <> 'removed'"
#: The labels of a breakdown by how many have them.
RANKED = f"""ranked AS (
    SELECT label, row_number() OVER (ORDER BY count(*) DESC, label) AS place
    FROM counted WHERE {KEPT} AND label IS NOT NULL GROUP BY label)"""


class Row(NamedTuple):
    """A row of a breakdown: those of a label, or of all the labels beyond the limit."""

    label: str | None
    other: bool


def funnel(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, *, as_of: datetime
) -> FunnelResult:
    """Count a funnel over the view `event` of the connection.

    `as_of` is the moment the caller knows the events up to; a request may ask for an earlier one,
    a later one is brought back to it. Only events that happened and were received by then count.
    With `entry=every` the counts are attempts, otherwise people (or sessions). Read-only.
    """
    moment = min(as_of, request.as_of or as_of)
    parameters = Parameters()
    query = _summary(attempts(connection, request, moment, parameters), request, parameters)
    rows = connection.execute(query, parameters.values).fetchall()
    total = next(row for row in rows if row[0] is None)
    reached, status, rates, ttc = _counted(request, total[3:])
    if request.entry == "first":
        points = curve(ends(connection, request, moment))
        incidence = (points[-1][1] if points else 0.0) if status.entered else None
        rates = rates.model_copy(update={"incidence": incidence})
    breakdown = None
    if request.breakdown is not None:
        breakdown = tuple(_row(request, row) for row in rows if row[0] is not None)
    return FunnelResult(
        semantics=semantics(request),
        steps=_steps(request, reached),
        status=status,
        rates=rates,
        ttc=ttc,
        breakdown=breakdown,
        as_of=moment,
        definition_hash=definition_hash(request),
    )


def people(
    connection: duckdb.DuckDBPyConnection,
    request: FunnelRequest,
    *,
    as_of: datetime,
    step: int = 1,
    status: Status | None = None,
    exactly: bool = False,
    row: Row | None = None,
    took: tuple[int, int] | None = None,
) -> list[int]:
    """Return the ids of the people behind a bar, ascending: who reached `step` (from 1).

    With `status`, only those of that status; with `exactly`, only those who came no further; with
    `row`, only those of a row of the breakdown; with `took`, only those whose attempt took so many
    microseconds, the end not included. The list is exactly as long as the number it explains,
    unless that counts attempts or sessions.
    Raises ValueError for a step the funnel does not have.
    """
    if not 1 <= step <= len(request.steps):
        raise ValueError(f"the funnel has steps 1 to {len(request.steps)}, not {step}")
    parameters = Parameters()
    query = attempts(connection, request, min(as_of, request.as_of or as_of), parameters)
    conditions = [KEPT, _at_step(request, step)]
    if status:
        conditions.append(f"status = {parameters.bind(status)}")
    if exactly:
        conditions.append(f"depth = {step}")
    if took is not None:
        first, after = (f"{parameters.bind(edge)}::BIGINT" for edge in took)
        conditions.append(f"spent >= {first} AND spent < {after}")
    source = "counted"
    if row is not None and row.other and request.breakdown is not None:
        query += f", {RANKED}"
        source = "counted JOIN ranked USING (label)"
        conditions.append(f"place > {parameters.bind(request.breakdown.limit)}")
    elif row is not None:
        conditions.append(f"label IS NOT DISTINCT FROM {parameters.bind(row.label)}")
    found = connection.execute(
        f"{query} SELECT DISTINCT person_id FROM {source} WHERE {' AND '.join(conditions)}"
        " ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(one[0]) for one in found]


def behind(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `step:2`, `status:dropped`, or `dropped:2` for those who
    reached step 2, no further one, and cannot any more; of a breakdown `row:[2,label]`, the label
    as JSON text, and `other:2`; `took:[from,to]` in microseconds. Raises BucketInvalid.
    """
    kind, place = parse(number)
    steps = range(1, len(request.steps) + 1)
    if request.breakdown is not None and type(place[0]) is int and place[0] in steps:
        if kind == "row" and len(place) == 2 and type(place[1]) in (str, type(None)):
            row = Row(label=place[1], other=False)
            return people(connection, request, as_of=as_of, step=place[0], row=row)
        if kind == "other" and len(place) == 1:
            row = Row(label=None, other=True)
            return people(connection, request, as_of=as_of, step=place[0], row=row)
    if kind == "took" and len(place) == 2 and all(_short(edge) for edge in place):
        took = (int(place[0]), int(place[1]))
        return people(connection, request, as_of=as_of, status="converted", took=took)
    if kind == "status" and place[0] in get_args(Status):
        return people(connection, request, as_of=as_of, status=place[0])
    if len(place) == 1 and place[0] in steps:
        if kind == "step":
            return people(connection, request, as_of=as_of, step=place[0])
        if kind == "dropped":
            return people(
                connection, request, as_of=as_of, step=place[0], status="dropped", exactly=True
            )
    raise unknown(
        number,
        "step:N, dropped:N, row:[N,label], other:N, "
        + ", ".join(f"status:{s}" for s in get_args(Status)),
    )


def _short(edge: Any) -> bool:
    """Say whether it is a length of time that DuckDB can hold."""
    return type(edge) is int and 0 <= edge < 2**62


def attributes(request: FunnelRequest) -> tuple[Attribute, ...]:
    """Return what the breakdown asks of people beside their events."""
    row = request.breakdown
    if row is not None and row.trait is not None:
        return (Attribute("trait", row.trait),)
    if row is not None and row.segment is not None:
        return (Attribute("segment", row.segment),)
    return ()


def ends(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, as_of: datetime
) -> list[At]:
    """Return how attempts ended, by microseconds since their entry, ascending.

    One that the end of its window cut off was seen up to there; one that a gap, another event or
    an exclusion ended competes with conversion.
    """
    parameters = Parameters()
    query = attempts(connection, request, as_of, parameters)
    now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
    width = request.window_microseconds()
    closes = "NULL" if width is None else f"entry_t + {parameters.bind(width)}::BIGINT"
    rows = connection.execute(
        f"""{query}, timed AS (
            SELECT CASE WHEN status = 'converted' THEN end_t WHEN stop_t IS NOT NULL THEN stop_t
                    WHEN status = 'in_progress' THEN {now} ELSE deadline END - entry_t AS time,
                status = 'converted' AS converted,
                status <> 'converted' AND (stop_t IS NOT NULL
                    OR (status = 'dropped' AND deadline IS DISTINCT FROM {closes})) AS competing
            FROM counted WHERE {KEPT})
        SELECT time, count(*) FILTER (converted), count(*) FILTER (competing),
            count(*) FILTER (NOT converted AND NOT competing)
        FROM timed GROUP BY time ORDER BY time""",
        parameters.values,
    ).fetchall()
    return [At(*map(int, row)) for row in rows]


def _at_step(request: FunnelRequest, step: int) -> str:
    if request.steps[step - 1].optional:
        return f"took & {1 << (step - 1)} <> 0"
    return f"depth >= {step}"


def _summary(query: str, request: FunnelRequest, parameters: Parameters) -> str:
    """One row in all, and one for each label: n per step, statuses, people removed, durations.

    Durations stay whole microseconds until the last division, so that the sum does not depend on
    the order in which threads add. A row begins with its place (null: all), label, and whether it
    is of the other labels.
    """
    counts = [
        f"count(*) FILTER ({_at_step(request, k)} AND {KEPT})"
        for k in range(1, len(request.steps) + 1)
    ]
    counts += [
        f"count(*) FILTER (status = '{status}')"
        for status in ("converted", "dropped", "in_progress", "excluded")
    ]
    converted = "FILTER (status = 'converted')"
    figures = (
        f"{', '.join(counts)}, count(DISTINCT person_id) FILTER (status = 'removed'),"
        f" quantile_cont(spent, {list(PERCENTILES)}) {converted},"
        f" sum(spent) {converted}"
    )
    if request.breakdown is None:
        return f"{query} SELECT NULL, NULL, NULL, {figures} FROM counted"
    limit = parameters.bind(request.breakdown.limit)
    return f"""{query}, {RANKED},
        spread AS (
            SELECT c.*, CASE WHEN c.label IS NULL THEN 1000001
                WHEN place <= {limit} THEN place ELSE 1000000 END AS place
            FROM counted c LEFT JOIN ranked USING (label))
        SELECT place, any_value(label), place = 1000000, {figures} FROM spread
        GROUP BY GROUPING SETS ((), (place)) ORDER BY place NULLS FIRST"""


Counted = tuple[list[int], FunnelStatus, FunnelRates, TimeToConvert]


def _counted(request: FunnelRequest, figures: Sequence[Any]) -> Counted:
    size = len(request.steps)
    reached = [int(n) for n in figures[:size]]
    converted, dropped, in_progress, excluded, removed = (int(n) for n in figures[size : size + 5])
    quantiles, total = figures[size + 5] or [None] * len(PERCENTILES), figures[size + 6]
    entered = reached[0]
    status = FunnelStatus(
        entered=entered,
        converted=converted,
        dropped=dropped,
        in_progress=in_progress,
        excluded=excluded,
        removed=removed,
    )
    rates = FunnelRates(
        raw=_rate(converted, entered),
        closed=_rate(converted, entered - in_progress),
        incidence=None,
    )
    ttc = TimeToConvert(
        n=converted,
        mean=int(total) / converted / 1e6 if converted else None,
        **{
            f"p{share * 100:.0f}": None if value is None else round(value) / 1e6
            for share, value in zip(PERCENTILES, quantiles, strict=True)
        },
    )
    return reached, status, rates, ttc


def _steps(request: FunnelRequest, reached: Sequence[int]) -> tuple[FunnelStep, ...]:
    found: list[FunnelStep] = []
    before: int | None = None
    for number, (step, n) in enumerate(zip(request.steps, reached, strict=True), start=1):
        found.append(
            FunnelStep(
                name=step.name or step.match.event,
                n=n,
                from_previous=None if before is None else _rate(n, before),
                from_first=None if before is None else _rate(n, reached[0]),
                bucket=bucket("step", number),
            )
        )
        before = before if step.optional else n
    return tuple(found)


def _row(request: FunnelRequest, row: Sequence[Any]) -> FunnelRow:
    reached, status, rates, ttc = _counted(request, row[3:])
    other = bool(row[2])
    numbers = range(1, len(reached) + 1)
    return FunnelRow(
        value=None if other or row[1] is None else json.loads(row[1]),
        other=other,
        steps=tuple(reached),
        buckets=tuple(bucket("other", n) if other else bucket("row", n, row[1]) for n in numbers),
        status=status,
        rates=rates,
        ttc=ttc,
    )


def _rate(part: int, whole: int) -> float | None:
    """A share, or null when there is nothing to share: 0 % of nobody is not a finding."""
    return part / whole if whole else None
