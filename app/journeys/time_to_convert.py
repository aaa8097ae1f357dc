# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How long conversion takes, exactly, and for those still under way too (research §4.7)."""

import math
from datetime import datetime
from typing import Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.attempts import attempts
from app.journeys.buckets import bucket
from app.journeys.definition import Frozen, definition_hash
from app.journeys.funnel import KEPT, ends
from app.journeys.funnel_answer import PERCENTILES, FunnelSemantics, semantics
from app.journeys.funnel_request import FunnelRequest
from app.journeys.incidence import curve, quantile
from app.journeys.predicate import Parameters

#: More bars than this nobody reads.
MOST_BINS = 90


class Bin(Frozen):
    """Conversions that took from `start` to `end` seconds; the last bin has its end, too."""

    start: float
    end: float
    n: int
    bucket: str


class TimeResult(Frozen):
    """Seconds from entry to the last step; `converted` has the exact quantiles (type 7) of those
    who converted, null without any.

    `all` says by when a share of everybody who entered has converted, those in progress counted
    while they were seen (Aalen-Johansen, as in the funnel's `incidence`); null where that share is
    not reached. It is null altogether unless `entry` is first, and with opening hours, which no
    window knows. `bins` are as wide as Freedman and Diaconis (1981) say, at most ninety.
    """

    semantics: FunnelSemantics
    entered: int
    n: int
    in_progress: int
    mean: float | None
    converted: dict[str, float | None]
    all: dict[str, float | None] | None
    method: Literal["exact, type 7; Aalen-Johansen"] = "exact, type 7; Aalen-Johansen"
    bins: tuple[Bin, ...]
    as_of: AwareDatetime
    definition_hash: str


def time_to_convert(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, *, as_of: datetime
) -> TimeResult:
    """Compute the times of a funnel's attempts over the view `event`. Read-only."""
    moment = min(as_of, request.as_of or as_of)
    parameters = Parameters()
    query = attempts(connection, request, moment, parameters)
    converted = "FILTER (status = 'converted')"
    row = connection.execute(
        f"""{query} SELECT count(*), count(*) {converted},
            count(*) FILTER (status = 'in_progress'), sum(spent) {converted},
            quantile_cont(spent, {list(PERCENTILES)}) {converted},
            min(spent) {converted}, max(spent) {converted}
        FROM counted WHERE {KEPT}""",
        parameters.values,
    ).fetchone()
    entered, n, in_progress, total, quantiles, least, most = row or (0, 0, 0, 0, None, None, None)
    names = [f"p{share * 100:.0f}" for share in PERCENTILES]
    everybody = None
    if request.entry == "first" and request.opening_hours is None:
        points = curve(ends(connection, request, moment))
        found = (quantile(points, share) for share in PERCENTILES)
        everybody = {name: _seconds(value) for name, value in zip(names, found, strict=True)}
    values = quantiles or [None] * len(names)
    bins: tuple[Bin, ...] = ()
    if n:
        width = _bins(n, int(least), int(most), values[3] - values[1])
        bins = _histogram(connection, request, moment, int(least), int(most), width)
    return TimeResult(
        semantics=semantics(request),
        entered=entered,
        n=n,
        in_progress=in_progress,
        mean=int(total) / n / 1e6 if n else None,
        converted={
            name: None if value is None else round(value) / 1e6
            for name, value in zip(names, values, strict=True)
        },
        all=everybody,
        bins=bins,
        as_of=moment,
        definition_hash=definition_hash(request),
    )


def _bins(n: int, least: int, most: int, spread: float) -> int:
    """How many bins; where half of all take equally long, as many as Rice's rule says."""
    if least == most:
        return 1
    root: float = float(n) ** (1 / 3)
    width = 2 * spread / root
    wanted = (most - least) / width if width else 2 * root
    return max(1, min(MOST_BINS, math.ceil(wanted)))


def _histogram(
    connection: duckdb.DuckDBPyConnection,
    request: FunnelRequest,
    as_of: datetime,
    least: int,
    most: int,
    bins: int,
) -> tuple[Bin, ...]:
    parameters = Parameters()
    query = attempts(connection, request, as_of, parameters)
    span = max(most - least, 1)
    rows = connection.execute(
        f"""{query} SELECT least((spent - {least})::HUGEINT * {bins} // {span},
            {bins - 1})::BIGINT AS bin, count(*)
        FROM counted WHERE status = 'converted' GROUP BY bin""",
        parameters.values,
    ).fetchall()
    counted = {int(number): int(n) for number, n in rows}
    found = []
    for number in range(bins):
        last = number == bins - 1
        # The first microsecond of the bin, and of the one after it: whole numbers, so rounded up.
        first, after = (-(-span * edge // bins) + least for edge in (number, number + 1))
        found.append(
            Bin(
                start=(least + span * number // bins) / 1e6,
                end=(most if last else least + span * (number + 1) // bins) / 1e6,
                n=counted.get(number, 0),
                bucket=bucket("took", first, most + 1 if last else after),
            )
        )
    return tuple(found)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
