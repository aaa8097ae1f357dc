# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of friction: what happened at touchpoints and on the ways between them (§4.4)."""

from collections.abc import Mapping
from datetime import datetime

from app.journeys.friction_request import Component, FrictionQuery
from app.journeys.funnel_request import microseconds_of
from app.journeys.open_time import opened
from app.journeys.predicate import Parameters
from app.journeys.stays import stays
from app.journeys.voice_sql import marks, spoken

#: The rows of a component: whose they are, whether one counts against its place, and where.
Case = tuple[str, str, str]
Cases = Mapping[Component, Case]
AT_POINTS: Cases = {
    "abandonment": ("left_by", "how = 'dropped'", "how IN ('moved', 'dropped')"),
    "repetition": ("step", "again_t - t <= w", "again_t - t <= w OR t + w <= ends"),
    "backtrack": ("visit", "next_stage < stage", "next_stage IS NOT NULL"),
    "escalation": (
        "visit",
        "next_effort > effort AND next_t - t <= w",
        "effort IS NOT NULL AND (next_t - t <= w OR t + w <= ends)",
    ),
    "failure": ("failing", "failed", "true"),
}
#: Of a move the same: what happened where it led to, and what it was itself.
OF_MOVES: Cases = {
    "abandonment": ("moved_left", "how = 'dropped'", "how IN ('moved', 'dropped')"),
    "repetition": ("move", "again_t - t <= w", "again_t - t <= w OR t + w <= ends"),
    "backtrack": ("move", "stage < source_stage", "true"),
    "escalation": (
        "move",
        "effort > source_effort AND t - source_t <= w",
        "effort IS NOT NULL AND source_effort IS NOT NULL",
    ),
    "failure": ("moved_failing", "failed", "true"),
}


def rows(source: str) -> str:
    """Return a relation beside the horizon and `within`, under names that the cases use."""
    return f"{source}, bound"


def counted(cases: Cases) -> str:
    """Return a struct of what was counted of each component, a list of rows by `point` each."""
    lists = ", ".join(
        f"(SELECT list(x) FROM (SELECT point, count(*) AS n, count(*) FILTER ({against}) AS k,"
        f" count(DISTINCT person_id) AS profiles,"
        f" count(DISTINCT person_id) FILTER ({against}) AS affected"
        f" FROM {rows(source)} WHERE {judged} GROUP BY point) x) AS {name}"
        for name, (source, against, judged) in cases.items()
    )
    named = ", ".join(f"'{name}': {name}" for name in cases)
    return f"(SELECT {{{named}}} FROM (SELECT {lists}))"


def levels(dwell: str, answered: str, visit: str) -> str:
    """Return the other three lists: median open time, mean distance of scores, and how many."""
    return f"""(SELECT list(x) FROM (SELECT point, count(opened) AS n,
                    quantile_cont(opened, 0.5) AS level FROM {dwell} GROUP BY point) x),
            (SELECT list(x) FROM (SELECT point, count(*) AS n, avg(fallen) AS level
                FROM {answered} WHERE point IS NOT NULL GROUP BY point) x),
            (SELECT list(x) FROM (SELECT point, count(*) AS visits,
                    count(DISTINCT person_id) AS profiles FROM {visit} GROUP BY point) x)"""


def relations(query: FrictionQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return a WITH clause of all that friction at touchpoints is counted from.

    To `stays` it adds `bound(ends, w)`, `dwell(person_id, next_pos, point, opened)`,
    `failing(person_id, pos, point, failed)`, and `answered` of `spoken`.
    """
    flags = marks(query.surveys)
    if query.failure is not None:
        flags["failed"] = query.failure
    text = stays(query.journey, query.range, as_of, parameters, marks=flags)
    within = f"{parameters.bind(microseconds_of(query.within))}::BIGINT"
    parts = [
        f"bound AS (SELECT ends, {within} AS w FROM horizon)",
        "finished AS (SELECT person_id, next_pos, point, t AS began, next_t AS ended FROM visit"
        " WHERE next_t IS NOT NULL)",
        opened(
            query.opening_hours,
            as_of,
            parameters,
            relation="finished",
            columns=("began", "ended"),
            name="clocked",
        ),
        "dwell AS (SELECT person_id, next_pos, point, ended - began AS opened FROM clocked)",
        _failing(query),
        spoken(query.surveys, parameters)
        if query.surveys
        else "answered AS (SELECT 0 AS person_id, 0 AS pos, 0 AS point, 0.0 AS fallen WHERE false)",
    ]
    return ", ".join([text, *parts])


def moves(query: FrictionQuery) -> str:
    """Return what is counted of ways from one touchpoint to the next, after `relations`.

    In each of these `point` is the number of the move: of where it began, times how many
    touchpoints there are, plus of where it led to.
    """
    n = len(query.journey.touchpoints)
    parts = [
        f"""move AS MATERIALIZED (
    SELECT *, lead(t) OVER (PARTITION BY person_id, point ORDER BY pos) AS again_t FROM (
        SELECT person_id, pos, t, stage, effort, point AS target,
            lag(point) OVER person * {n} + point AS point, lag(t) OVER person AS source_t,
            lag(stage) OVER person AS source_stage, lag(effort) OVER person AS source_effort
        FROM visit WINDOW person AS (PARTITION BY person_id ORDER BY pos))
    WHERE point IS NOT NULL)""",
        "moved_dwell AS (SELECT m.point, d.opened FROM dwell d JOIN move m"
        " ON m.person_id = d.person_id AND m.pos = d.next_pos)",
    ]
    parts += [
        # What happened at a visit is of the move that led to it; a first visit is led to by none.
        f"moved_{name} AS (SELECT s.* REPLACE (m.point AS point) FROM {source} s"
        " ASOF JOIN arrival m ON m.person_id = s.person_id AND m.target = s.point"
        " AND m.pos <= s.pos WHERE m.point IS NOT NULL)"
        for name, source in (("left", "left_by"), ("failing", "failing"), ("answered", "answered"))
    ]
    arrival = """arrival AS MATERIALIZED (
    SELECT v.person_id, v.pos, v.point AS target, m.point FROM visit v
    LEFT JOIN move m ON m.person_id = v.person_id AND m.pos = v.pos)"""
    return ", ".join([parts[0], arrival, *parts[1:]])


def _failing(query: FrictionQuery) -> str:
    """Each visit, and whether something failed during it."""
    if query.failure is None:
        return (
            "failing AS (SELECT 0 AS person_id, 0 AS pos, 0 AS point, false AS failed WHERE false)"
        )
    return """failing AS (
        SELECT v.person_id, v.pos, v.point, f.visit_pos IS NOT NULL AS failed
        FROM visit v LEFT JOIN (
            SELECT DISTINCT f.person_id, v.pos AS visit_pos
            FROM placed f ASOF JOIN visit v ON v.person_id = f.person_id AND v.pos <= f.pos
            WHERE f.failed) f ON f.person_id = v.person_id AND f.visit_pos = v.pos)"""
