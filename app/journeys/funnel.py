# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How many go from step to step, under rules that are all named (research/journeys.md §4.1).

An attempt starts at an event that fits step 1 and takes, for each next step, the earliest later
event that fits. Everything a product could silently choose (which entry, how ties fall, what ends
an attempt) is a parameter or is echoed in `semantics`.
"""

from datetime import datetime
from typing import Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.attempts import attempts
from app.journeys.definition import Frozen, definition_hash
from app.journeys.funnel_request import Entry, FunnelRequest, Order
from app.journeys.predicate import Parameters

PERCENTILES = (0.10, 0.25, 0.50, 0.75, 0.90)


class FunnelSemantics(Frozen):
    """Every choice behind a funnel's numbers, defaults made explicit."""

    unit: Literal["profile"] = "profile"
    counted: Literal["profiles", "attempts"]
    entry: Entry
    order: Order
    step_k: Literal["reached step k in order", "fitted k distinct steps, step 1 first"]
    window: str | None
    window_from: Literal["entry"] = "entry"
    window_inclusive: Literal[True] = True
    range: Literal["selects entries, half-open"] = "selects entries, half-open"
    ties: Literal["source_order"] = "source_order"
    best_tie: Literal["earliest entry"] = "earliest entry"
    collapse: Literal[False] = False
    strict_repeats: Literal["an event that fits the step just taken is no interruption"] = (
        "an event that fits the step just taken is no interruption"
    )
    any_assignment: Literal["in written order, each step takes its earliest free event"] = (
        "in written order, each step takes its earliest free event"
    )
    one_event_one_step: Literal[True] = True
    grace: Literal["PT0S"] = "PT0S"
    in_progress: Literal["an attempt that can still convert at as_of"] = (
        "an attempt that can still convert at as_of"
    )
    quantile: Literal["exact, type 7, to the microsecond"] = "exact, type 7, to the microsecond"


class FunnelStep(Frozen):
    """How many reached a step; the rates are null when nobody could."""

    name: str | None
    n: int
    from_previous: float | None
    from_first: float | None


class FunnelStatus(Frozen):
    """What became of those who entered: the four add up to `entered`.

    `removed` counts the people whom an exclusion with effect `remove` took out of the funnel;
    they are in no step and in no other count.
    """

    entered: int
    converted: int
    dropped: int
    in_progress: int
    excluded: int
    removed: int


class FunnelRates(Frozen):
    """`raw` = converted / entered; `closed` = converted / those no longer in progress."""

    raw: float | None
    closed: float | None


class TimeToConvert(Frozen):
    """Seconds from entry to the last step, over the converted; exact quantiles (type 7)."""

    n: int
    mean: float | None
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None


class FunnelResult(Frozen):
    """A funnel's answer; the same definition, as_of and events give the same bytes."""

    semantics: FunnelSemantics
    steps: tuple[FunnelStep, ...]
    status: FunnelStatus
    rates: FunnelRates
    ttc: TimeToConvert
    as_of: AwareDatetime
    definition_hash: str


def funnel(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, *, as_of: datetime
) -> FunnelResult:
    """Count a funnel over the view `event` of the connection.

    `as_of` is the moment the caller knows the events up to; a request may ask for an earlier one,
    a later one is brought back to it. Only events that happened and were received by then count.
    With `entry=every` the counts are attempts, otherwise people. Read-only.
    """
    moment = min(as_of, request.as_of or as_of)
    parameters = Parameters()
    query = _summary(attempts(request, moment, parameters), request)
    row = connection.execute(query, parameters.values).fetchone()
    if row is None:
        raise RuntimeError("an aggregate without groups always has one row")
    size = len(request.steps)
    reached = [int(n) for n in row[:size]]
    converted, dropped, in_progress, excluded, removed = (int(n) for n in row[size : size + 5])
    quantiles, total = row[size + 5] or [None] * len(PERCENTILES), row[size + 6]
    entered = reached[0]
    return FunnelResult(
        semantics=_semantics(request),
        steps=tuple(
            FunnelStep(
                name=step.name,
                n=n,
                from_previous=_rate(n, reached[index - 1]) if index else None,
                from_first=_rate(n, entered) if index else None,
            )
            for index, (step, n) in enumerate(zip(request.steps, reached, strict=True))
        ),
        status=FunnelStatus(
            entered=entered,
            converted=converted,
            dropped=dropped,
            in_progress=in_progress,
            excluded=excluded,
            removed=removed,
        ),
        rates=FunnelRates(
            raw=_rate(converted, entered), closed=_rate(converted, entered - in_progress)
        ),
        ttc=TimeToConvert(
            n=converted,
            mean=int(total) / converted / 1e6 if converted else None,
            **{
                f"p{share * 100:.0f}": None if value is None else round(value) / 1e6
                for share, value in zip(PERCENTILES, quantiles, strict=True)
            },
        ),
        as_of=moment,
        definition_hash=definition_hash(request),
    )


def people(
    connection: duckdb.DuckDBPyConnection,
    request: FunnelRequest,
    *,
    as_of: datetime,
    step: int = 1,
    status: Literal["converted", "dropped", "in_progress", "excluded"] | None = None,
) -> list[int]:
    """Return the ids of the people behind a bar, ascending: who reached `step` (from 1).

    With `status`, only those of that status. Except for `entry=every`, which counts attempts, the
    list is exactly as long as the number it explains. Raises ValueError for a step the funnel
    does not have.
    """
    if not 1 <= step <= len(request.steps):
        raise ValueError(f"the funnel has steps 1 to {len(request.steps)}, not {step}")
    parameters = Parameters()
    query = attempts(request, min(as_of, request.as_of or as_of), parameters)
    wanted = f"AND status = {parameters.bind(status)}" if status else ""
    rows = connection.execute(
        f"{query} SELECT DISTINCT person_id FROM counted"
        f" WHERE status <> 'removed' AND depth >= {parameters.bind(step)} {wanted}"
        " ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _summary(query: str, request: FunnelRequest) -> str:
    """One row: n per step, the four statuses, people removed, quantiles, sum of durations.

    Durations stay whole microseconds until the last division, so that the sum does not depend on
    the order in which threads add.
    """
    kept = "status <> 'removed'"
    counts = [
        f"count(*) FILTER (depth >= {k} AND {kept})" for k in range(1, len(request.steps) + 1)
    ]
    counts += [
        f"count(*) FILTER (status = '{status}')"
        for status in ("converted", "dropped", "in_progress", "excluded")
    ]
    converted = "FILTER (status = 'converted')"
    return (
        f"{query} SELECT {', '.join(counts)},"
        " count(DISTINCT person_id) FILTER (status = 'removed'),"
        f" quantile_cont(end_t - entry_t, {list(PERCENTILES)}) {converted},"
        f" sum(end_t - entry_t) {converted} FROM counted"
    )


def _semantics(request: FunnelRequest) -> FunnelSemantics:
    window = request.model_dump(mode="json")["window"]
    return FunnelSemantics(
        counted="attempts" if request.entry == "every" else "profiles",
        entry=request.entry,
        order=request.order,
        step_k=(
            "fitted k distinct steps, step 1 first"
            if request.order == "any"
            else "reached step k in order"
        ),
        window=window,
    )


def _rate(part: int, whole: int) -> float | None:
    """A share, or null when there is nothing to share: 0 % of nobody is not a finding."""
    return part / whole if whole else None
