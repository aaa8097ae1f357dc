# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Holds variants, segments and periods against each other, fairly (research §4.9)."""

from datetime import datetime
from typing import Any

import duckdb

from app.journeys.attributes import Attribute
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.compare_answer import (
    CompareResult,
    CompareSemantics,
    Comparison,
    Group,
    Heap,
    SampleRatio,
)
from app.journeys.compare_pairs import MOST, Pairs
from app.journeys.compare_request import Align, CompareQuery
from app.journeys.compare_sql import compared
from app.journeys.definition import definition_hash
from app.journeys.funnel_request import microseconds_of
from app.journeys.incidence import At, curve, quantile
from app.journeys.intervals import wilson
from app.journeys.predicate import Parameters
from app.journeys.significance import sample_ratio

#: Of a draw that gave other sizes than it should: the usual bound, so that looking every day does
#: not cry wolf (Fabijan and others 2019).
ALARM = 0.001


def compare(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, *, as_of: datetime
) -> CompareResult:
    """Compare the variants over the view `event`, by each alignment. Read-only."""
    found = tuple(_aligned(connection, query, align, as_of) for align in query.align)
    ratio = None
    if query.shares and sum(found[0].sizes.values()):
        sizes = found[0].sizes
        verdict = sample_ratio([sizes[one.name] for one in query.variants], query.shares)
        ratio = SampleRatio(
            statistic=verdict.statistic or 0.0, p=verdict.p, alarm=verdict.p < ALARM
        )
    return CompareResult(
        semantics=CompareSemantics(
            evidence="randomised" if query.randomised else "observational", least=query.least
        ),
        alignments=found,
        sample_ratio=ratio,
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def attributes(query: CompareQuery) -> tuple[Attribute, ...]:
    """Return what the variants ask of people beside their events."""
    found = [Attribute("segment", one.segment) for one in query.variants if one.segment]
    return (*found, *(Attribute("trait", one.trait) for one in query.variants if one.trait))


def people(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `group:[alignment,variant]`, `came:[alignment,outcome,
    variant]`, `had:[alignment,amount,variant]`; alignments count from 1. Raises BucketInvalid.
    """
    kind, place = parse(number)
    variants = [one.name for one in query.variants]
    outcomes, amounts = ([one.name for one in part] for part in (query.outcomes, query.amounts))
    where = ""
    try:
        align = query.align[range(1, len(query.align) + 1).index(place[0])]
        who = f"variant = {variants.index(place[-1])}"
        if (kind, len(place)) == ("group", 2):
            where = who
        elif (kind, len(place)) == ("came", 3):
            where = f"{who} AND {_came(query, outcomes.index(place[1]))}"
        elif (kind, len(place)) == ("had", 3):
            where = f"{who} AND b{amounts.index(place[1])}"
        else:
            raise ValueError(kind)
    except ValueError:
        raise unknown(number, "group:[n,variant], came:[n,outcome,variant], had:[…]") from None
    parameters = Parameters()
    text = compared(query, align, as_of, parameters)
    rows = connection.execute(
        f"{text} SELECT person_id FROM grouped WHERE {where} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _came(query: CompareQuery, k: int) -> str:
    """Who is counted and came through in time."""
    window = query.outcomes[k].window
    inside = "" if window is None else f" AND y{k}_t <= {microseconds_of(window)}"
    return f"(o{k} AND NOT d{k} AND y{k}_t IS NOT NULL{inside})"


def _aligned(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, align: Align, as_of: datetime
) -> Comparison:
    parameters = Parameters()
    text = compared(query, align, as_of, parameters)
    # Asked several times over the same rows, which are kept for as long as this takes.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE compared AS {text} SELECT * FROM grouped",
                       parameters.values)  # fmt: skip
    try:
        sizes = dict(
            connection.execute("SELECT variant, count(*) FROM compared GROUP BY ALL").fetchall()
        )
        place = query.align.index(align) + 1
        outcomes = {
            one.name: _outcome(connection, query, k, place) for k, one in enumerate(query.outcomes)
        }
        heaps = {
            one.name: _amount(connection, query, k, place) for k, one in enumerate(query.amounts)
        }
        tests = Pairs(query)
        for k, outcome in enumerate(query.outcomes):
            tests.shares(outcome.name, outcomes[outcome.name], _times(connection, query, k))
        for k, amount in enumerate(query.amounts):
            tests.amounts(amount.name, heaps[amount.name], _values(connection, query, k))
    finally:
        connection.execute("DROP TABLE compared")
    return Comparison(
        align=align,
        counted_from=align.called,
        compared=sum(sizes.values()),
        unassigned=sizes.get(None, 0),
        sizes={one.name: sizes.get(k, 0) for k, one in enumerate(query.variants)},
        outcomes=outcomes,
        amounts=heaps,
        overall=tuple(tests.overall),
        pairs=tests.corrected(),
    )


def _outcome(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, k: int, place: int
) -> tuple[Group, ...]:
    came = _came(query, k)
    rows = connection.execute(
        f"""SELECT variant, count(*) FILTER (o{k} AND NOT d{k}), count(*) FILTER ({came}),
            count(*) FILTER (NOT o{k} AND NOT d{k}), count(*) FILTER (d{k})
        FROM compared WHERE variant IS NOT NULL GROUP BY variant"""
    ).fetchall()
    counts = {row[0]: row[1:] for row in rows}
    times = _times(connection, query, k)
    found = []
    for number, variant in enumerate(query.variants):
        n, come, waiting, decided = counts.get(number, (0, 0, 0, 0))
        middle = quantile(curve(times.get(number, [])), 0.5)
        found.append(
            Group(
                variant=variant.name,
                n=n,
                k=come,
                share=come / n if n else None,
                interval=wilson(come, n) if n else None,
                in_progress=waiting,
                decided=decided,
                median_seconds=None if middle is None else middle / 1e6,
                bucket=bucket("came", place, query.outcomes[k].name, variant.name),
            )
        )
    return tuple(found)


def _times(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, k: int
) -> dict[int, list[At]]:
    """By variant, how many came through and were last seen at each time after zero.

    A lost event ends the watch; so does the window, after which nobody is asked about any more.
    """
    window = query.outcomes[k].window
    ends = ["followed", "lost_t"]
    if window is not None:
        ends.append(str(microseconds_of(window)))
    rows = connection.execute(
        f"""SELECT variant, coalesce(if(came, y{k}_t, NULL), seen) AS time, count(*) FILTER (came),
            count(*) FILTER (NOT came)
        FROM (SELECT *, y{k}_t IS NOT NULL AND y{k}_t <= seen AS came
            FROM (SELECT *, least({", ".join(ends)}) AS seen FROM compared
                WHERE variant IS NOT NULL AND NOT d{k}))
        GROUP BY ALL ORDER BY variant, time"""
    ).fetchall()
    found: dict[int, list[At]] = {}
    for variant, time, came, censored in rows:
        found.setdefault(variant, []).append(At(int(time), came, 0, censored))
    return found


def _amount(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, k: int, place: int
) -> tuple[Heap, ...]:
    rows = connection.execute(
        f"""SELECT variant, count(*) FILTER (b{k}), sum(a{k}::DECIMAL(38, 6)) FILTER (b{k}),
            stddev_samp(a{k} ORDER BY person_id) FILTER (b{k}), count(*) FILTER (NOT b{k})
        FROM compared WHERE variant IS NOT NULL GROUP BY variant"""
    ).fetchall()
    counts: dict[int, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
    found = []
    for number, variant in enumerate(query.variants):
        n, total, deviation, waiting = counts.get(number, (0, 0, None, 0))
        found.append(
            Heap(
                variant=variant.name,
                n=n,
                total=float(total or 0),
                mean=float(total) / n if n else None,
                deviation=deviation,
                in_progress=waiting,
                bucket=bucket("had", place, query.amounts[k].name, variant.name),
            )
        )
    return tuple(found)


def _values(
    connection: duckdb.DuckDBPyConnection, query: CompareQuery, k: int
) -> dict[int, Any] | None:
    """The amounts of each variant as arrays, by person; None of more people than are resampled."""
    row = connection.execute(f"SELECT count(*) FROM compared WHERE b{k}").fetchone()
    if row is None or row[0] > MOST:
        return None
    return {
        number: connection.execute(
            f"SELECT a{k} AS a FROM compared WHERE b{k} AND variant = {number} ORDER BY person_id"
        ).fetchnumpy()["a"]
        for number in range(len(query.variants))
    }
