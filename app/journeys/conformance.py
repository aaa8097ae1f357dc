# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""How the ways people take differ from the target journey (research §4.13).

DuckDB cuts everybody's events into ways and puts equal ones together; each different way is
compared once (`app.journeys.alignment`), and its delays are looked up for everybody who took it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from math import fsum
from typing import get_args

import duckdb
import pyarrow as pa

from app.journeys.alignment import KINDS, LONGEST, Alignment, Rules, align, rules
from app.journeys.buckets import bucket, parse, unknown
from app.journeys.conformance_answer import (
    ConformanceResult,
    ConformanceSemantics,
    Difference,
    Ways,
)
from app.journeys.conformance_request import ConformanceQuery
from app.journeys.definition import definition_hash
from app.journeys.predicate import POSITION, Parameters, known, microseconds, sql
from app.journeys.ways import State

#: Different ways that are compared; who took a rarer one is counted in `not_compared`.
MOST_WAYS = 20_000

STATES: tuple[State, ...] = get_args(State)


#: A deviation: its kind, the touchpoint, and of what is late the node it is late for.
What = tuple[str, ...]
#: A way, and which of its edges are late.
Judged = tuple[int, tuple[int, ...]]


def conformance(
    connection: duckdb.DuckDBPyConnection, query: ConformanceQuery, *, as_of: datetime
) -> ConformanceResult:
    """Compare everybody's ways over the view `event` with the target. Read-only."""
    rule = rules(query.journey)
    times, on, kinds = Counter[What](), Counter[What](), Counter[str]()
    fits: dict[State, list[tuple[int, float]]] = {state: [] for state in STATES}
    with _taken(connection, query, rule, as_of):
        totals = connection.execute(
            "SELECT count(DISTINCT person_id), count(*), count(DISTINCT number) FROM way_taken"
        ).fetchone() or (0, 0, 0)
        alignments = _alignments(connection, rule)
        with _judged(connection, rule, alignments, as_of):
            told: dict[What, list[Judged]] = {}
            for state, number, late, n in _groups(connection):
                alignment = alignments[number]
                for what, often in _told(rule, alignment, late).items():
                    times[what] += often * n
                    on[what] += n
                    kinds[what[0]] += often * n
                    told.setdefault(what, []).append((number, late))
                fits[state].append((n, alignment.fit(len(late))))
            ordered = sorted(times, key=lambda what: (-times[what], what))
            whose = _profiles(connection, [told[what] for what in ordered[: query.top]])
            [(somebodys,)] = connection.execute(
                "SELECT count(DISTINCT person_id) FROM judged"
            ).fetchall()
    whole = [pair for pairs in fits.values() for pair in pairs]
    compared = sum(n for n, _ in whole)
    return ConformanceResult(
        semantics=ConformanceSemantics(inactivity=_inactivity(query)),
        profiles=totals[0],
        ways=totals[1],
        different=totals[2],
        compared=compared,
        profiles_compared=somebodys,
        not_compared=totals[1] - compared,
        all=_ways("fit", "any", whole),
        states={state: _ways("state", state, pairs) for state, pairs in fits.items()},
        kinds={kind: kinds[kind] for kind in KINDS},
        deviations=tuple(
            Difference(
                kind=what[0],
                touchpoint=what[1],
                to=what[2] if len(what) > 2 else None,
                n=times[what],
                ways=on[what],
                share=on[what] / compared,
                profiles=profiles,
                bucket=bucket("deviation", *what),
            )
            for what, profiles in zip(ordered[: query.top], whose, strict=True)
        ),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: ConformanceQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `deviation:` with its kind and touchpoint (and
    the other node of what is late), `fit:any`, `state:open`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    rule = rules(query.journey)
    wanted = tuple(str(part) for part in place)
    if not (
        (kind == "state" and place[0] in STATES)
        or (kind, place) == ("fit", ["any"])
        or (kind == "deviation" and len(place) in (2, 3) and place[0] in KINDS)
    ):
        raise unknown(number, "state:open, fit:any, deviation:[kind,touchpoint]")
    with _taken(connection, query, rule, as_of):
        if kind == "state":
            rows = connection.execute(
                "SELECT DISTINCT person_id FROM way_taken WHERE state = $state ORDER BY person_id",
                {"state": place[0]},
            ).fetchall()
            return [int(row[0]) for row in rows]
        alignments = _alignments(connection, rule)
        with _judged(connection, rule, alignments, as_of):
            chosen = [
                (number_, late)
                for _, number_, late, _ in _groups(connection)
                if (
                    wanted in _told(rule, alignments[number_], late)
                    if kind == "deviation"
                    else not _told(rule, alignments[number_], late)
                )
            ]
            with _chosen(connection, [chosen]):
                rows = connection.execute(
                    "SELECT DISTINCT person_id FROM judged SEMI JOIN chosen USING (number, edges)"
                    " ORDER BY person_id"
                ).fetchall()
        return [int(row[0]) for row in rows]


@contextmanager
def _taken(
    connection: duckdb.DuckDBPyConnection, query: ConformanceQuery, rule: Rules, as_of: datetime
) -> Iterator[None]:
    """Hold everybody's ways in a table of this connection, `way_taken`, while the block runs.

    `way_taken(person_id, id, state, route, first, last, number)`: equal ways in equal states have
    one `number`, the most frequent 1.
    """
    parameters = Parameters()
    text = _ways_sql(query, rule, as_of, parameters)
    connection.execute(f"CREATE TEMP TABLE way_taken AS {text}", parameters.values)
    try:
        yield
    finally:
        connection.execute("DROP TABLE way_taken")


def _ways_sql(query: ConformanceQuery, rule: Rules, as_of: datetime, parameters: Parameters) -> str:
    """The rules of `app.journeys.ways.ways`, for everybody at once."""
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)} THEN {parameters.bind(point.id)}"
        for point in query.journey.touchpoints
    )
    nodes = f"{parameters.bind(sorted(rule.nodes))}::VARCHAR[]"
    last = f"{parameters.bind(sorted(rule.last))}::VARCHAR[]"
    silent, quiet = "false", "false"
    if rule.inactivity is not None:
        pause = f"{parameters.bind(rule.inactivity)}::BIGINT"
        now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
        silent, quiet = f"t - before_t > {pause}", f"{now} - max(last) > {pause}"
    inside = []
    if query.range.start is not None:
        inside.append(f"first[1] >= {parameters.bind(microseconds(query.range.start))}::BIGINT")
    if query.range.end is not None:
        inside.append(f"first[1] < {parameters.bind(microseconds(query.range.end))}::BIGINT")
    return f"""
WITH touched AS (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        CASE {branches} END AS label
    FROM event WHERE {known(as_of, parameters)}),
placed AS (
    SELECT person_id, epoch_us(occurred_at) AS t, label, {POSITION} AS pos
    FROM touched WHERE label IS NOT NULL),
ended AS (
    SELECT *, coalesce(list_contains({last}, before) AND before <> label, false) AS ended,
        coalesce({silent}, false) AS silent
    FROM (SELECT *, lag(label) OVER person AS before, lag(t) OVER person AS before_t
        FROM placed WINDOW person AS (PARTITION BY person_id ORDER BY pos))),
piece AS (
    SELECT *, count(*) FILTER (before IS NULL OR ended OR silent) OVER (
        PARTITION BY person_id ORDER BY pos) AS piece
    FROM ended),
begun AS (
    SELECT *, min(pos) FILTER (list_contains({nodes}, label)) OVER piece AS begin_pos,
        first_value(ended) OVER (PARTITION BY person_id, piece ORDER BY pos) AS after_end,
        max(piece) OVER (PARTITION BY person_id) AS pieces
    FROM piece WINDOW piece AS (PARTITION BY person_id, piece)),
stop AS (
    SELECT person_id, piece, pieces, label, min(pos) AS pos, min(t) AS first, max(t) AS last
    FROM (SELECT *, count(*) FILTER (label IS DISTINCT FROM kept_before)
            OVER (PARTITION BY person_id, piece ORDER BY pos) AS run
        FROM (SELECT *, lag(label) OVER (PARTITION BY person_id, piece ORDER BY pos) AS kept_before,
                first_value(label) OVER (PARTITION BY person_id, piece ORDER BY pos) AS begins
            FROM begun WHERE pos >= begin_pos)
        WHERE NOT (after_end AND list_contains({last}, begins)))
    GROUP BY person_id, piece, pieces, run, label),
way AS (
    SELECT person_id, piece, CASE WHEN list_contains({last}, arg_max(label, pos)) THEN 'completed'
            WHEN {quiet} OR piece < pieces THEN 'abandoned'
            ELSE 'open' END AS state,
        list(label ORDER BY pos)[1:{LONGEST}] AS route, list(first ORDER BY pos) AS first,
        list(last ORDER BY pos) AS last
    FROM stop GROUP BY person_id, piece, pieces),
ranked AS (
    SELECT state, route, row_number() OVER (ORDER BY count(*) DESC, state, route) AS number
    FROM way WHERE {" AND ".join(inside) or "true"} GROUP BY state, route)
SELECT person_id, row_number() OVER (ORDER BY person_id, piece) AS id, state, route, first, last,
    number
FROM way JOIN ranked USING (state, route) WHERE {" AND ".join(inside) or "true"}
"""


def _alignments(connection: duckdb.DuckDBPyConnection, rule: Rules) -> dict[int, Alignment]:
    """Compare each different way with the target, the most frequent first, up to MOST_WAYS."""
    rows = connection.execute(
        "SELECT DISTINCT number, state, route FROM way_taken WHERE number <= $most ORDER BY number",
        {"most": MOST_WAYS},
    ).fetchall()
    return {number: align(rule, route, over=state != "open") for number, state, route in rows}


@contextmanager
def _judged(
    connection: duckdb.DuckDBPyConnection,
    rule: Rules,
    alignments: dict[int, Alignment],
    as_of: datetime,
) -> Iterator[None]:
    """Hold the ways that are compared in a table, `judged`, while the block runs.

    `judged(person_id, state, number, edges)`: `edges` are those that are late.
    """
    with _late(connection, rule, alignments):
        connection.execute(
            f"CREATE TEMP TABLE judged AS {_LATE}", {"now": microseconds(as_of), "most": MOST_WAYS}
        )
    try:
        yield
    finally:
        connection.execute("DROP TABLE judged")


def _groups(
    connection: duckdb.DuckDBPyConnection,
) -> list[tuple[State, int, tuple[int, ...], int]]:
    """Return (state, way, edges that are late, how many ways), of the ways that were compared."""
    rows = connection.execute(
        """SELECT state, number, edges, count(*) FROM judged
        GROUP BY state, number, edges ORDER BY number, edges"""
    ).fetchall()
    return [(state, number, tuple(edges), n) for state, number, edges, n in rows]


def _profiles(connection: duckdb.DuckDBPyConnection, told: Sequence[Sequence[Judged]]) -> list[int]:
    """Return of each deviation how many people have it on a way of theirs."""
    with _chosen(connection, told):
        rows = connection.execute(
            """SELECT place, count(DISTINCT person_id) FROM judged JOIN chosen
            USING (number, edges) GROUP BY place"""
        ).fetchall()
    counts = dict(rows)
    return [counts[place] for place in range(len(told))]


@contextmanager
def _chosen(
    connection: duckdb.DuckDBPyConnection, told: Sequence[Sequence[Judged]]
) -> Iterator[None]:
    """Show judged ways, by the place of their list, while the block runs."""
    rows = [(place, *one) for place, ones in enumerate(told) for one in ones]
    names = pa.table(
        {
            "place": pa.array([place for place, _, _ in rows], pa.int64()),
            "number": pa.array([number for _, number, _ in rows], pa.int64()),
            "edges": pa.array([list(late) for _, _, late in rows], pa.list_(pa.int64())),
        }
    )
    connection.register("chosen", names)
    try:
        yield
    finally:
        connection.unregister("chosen")


@contextmanager
def _late(
    connection: duckdb.DuckDBPyConnection, rule: Rules, alignments: dict[int, Alignment]
) -> Iterator[None]:
    """Show where in each way the edges with a delay begin and end, while the block runs."""
    pairs: list[tuple[int, int, int, int | None, int]] = []
    for number, alignment in alignments.items():
        for edge, (one, two, delay) in enumerate(rule.delays):
            if one not in alignment.matched:
                continue
            if two in alignment.matched or two >= alignment.pending:
                end = alignment.matched.get(two)
                place = None if end is None else end + 1
                pairs.append((number, edge, alignment.matched[one] + 1, place, delay))
    kinds = (pa.int64(),) * 5
    columns = zip(*pairs, strict=True) if pairs else ((),) * 5
    names = ("number", "edge", "start", "finish", "delay")
    shown = {
        name: pa.array(values, kind)
        for name, values, kind in zip(names, columns, kinds, strict=True)
    }
    connection.register("pair", pa.table(shown))
    try:
        yield
    finally:
        connection.unregister("pair")


#: Of each way the edges that are late, in their order; the end of a pending one is now.
_LATE = """
WITH late AS (
    SELECT w.id, list(p.edge ORDER BY p.edge) AS edges
    FROM way_taken w JOIN pair p ON p.number = w.number
    WHERE coalesce(w.first[p.finish], CASE WHEN w.state = 'open' THEN $now::BIGINT END)
        - w.last[p.start] > p.delay
    GROUP BY w.id)
SELECT w.person_id, w.state, w.number, coalesce(l.edges, []) AS edges
FROM way_taken w LEFT JOIN late l ON l.id = w.id WHERE w.number <= $most
"""


def _told(rule: Rules, alignment: Alignment, late: Sequence[int]) -> Counter[What]:
    said = Counter[What]((one.kind, one.touchpoint) for one in alignment.deviations)
    for edge in late:
        one, two, _ = rule.delays[edge]
        said["late", rule.places[one].touchpoint, rule.places[two].touchpoint] += 1
    return said


def _ways(kind: str, place: str, pairs: Sequence[tuple[int, float]]) -> Ways:
    n, fit = sum(n for n, _ in pairs), sum(n for n, value in pairs if value == 1)
    return Ways(
        ways=n,
        fit=fit,
        share_fit=fit / n if n else None,
        mean_fit=fsum(n * value for n, value in pairs) / n if n else None,
        bucket=bucket(kind, place),
    )


def _inactivity(query: ConformanceQuery) -> str | None:
    said: str | None = query.model_dump(mode="json")["journey"]["target"]["inactivity"]
    return said
