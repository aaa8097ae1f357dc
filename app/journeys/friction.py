# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Where a journey rubs, and why: a score that is a list of reasons (research/journeys.md §4.4)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import duckdb

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import definition_hash
from app.journeys.friction_answer import (
    FrictionPoint,
    FrictionResult,
    FrictionSemantics,
    Observed,
    disagreements,
    score,
    scored,
)
from app.journeys.friction_request import COMPONENTS, Component, FrictionQuery
from app.journeys.funnel_request import microseconds_of
from app.journeys.open_time import opened
from app.journeys.predicate import Parameters
from app.journeys.stays import stays
from app.journeys.voice_sql import marks, spoken
from app.journeys.worth import at_risk, worth

#: The rows of each component: whose they are, whether one counts against the touchpoint, and where.
_CASES: dict[Component, tuple[str, str, str]] = {
    "abandonment": ("left_by", "how = 'dropped'", "how IN ('moved', 'dropped')"),
    "repetition": ("event", "again_t - t <= w", "again_t - t <= w OR t + w <= ends"),
    "backtrack": ("visit", "next_stage < stage", "next_stage IS NOT NULL"),
    "escalation": (
        "visit",
        "next_effort > effort AND next_t - t <= w",
        "effort IS NOT NULL AND (next_t - t <= w OR t + w <= ends)",
    ),
    "failure": ("failing", "failed", "true"),
}


def friction(
    connection: duckdb.DuckDBPyConnection, query: FrictionQuery, *, as_of: datetime
) -> FrictionResult:
    """Score every touchpoint over the view `event`. Read-only."""
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    counted = ", ".join(
        f"(SELECT list(x) FROM (SELECT point, count(*) AS n, count(*) FILTER ({against}) AS k,"
        f" count(DISTINCT person_id) AS profiles,"
        f" count(DISTINCT person_id) FILTER ({against}) AS affected"
        f" FROM {_rows(source)} WHERE {judged} GROUP BY point) x) AS {name}"
        for name, (source, against, judged) in _CASES.items()
    )
    row = connection.execute(
        f"""{text}
        SELECT {{{", ".join(f"'{name}': {name}" for name in _CASES)}}},
            (SELECT list(x) FROM (SELECT point, count(opened) AS n,
                    quantile_cont(opened, 0.5) AS level
                FROM dwell GROUP BY point) x),
            (SELECT list(x) FROM (SELECT point, count(*) AS n, avg(fallen) AS level
                FROM answered WHERE point IS NOT NULL GROUP BY point) x),
            (SELECT list(x) FROM (SELECT point, count(*) AS visits,
                    count(DISTINCT person_id) AS profiles
                FROM visit GROUP BY point) x)
        FROM (SELECT {counted})""",
        parameters.values,
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    rates, dwells, voices, sizes = row
    seen = _seen(query, rates, dwells or (), voices or ())
    risk = at_risk(query.journey, worth(connection, query.journey, query.range, as_of))
    people = {one["point"]: one for one in sizes or ()}
    found = scored(query, seen)
    points = [
        _point(query, number, found[number], seen[number], people.get(number, {}), risk)
        for number in range(len(query.journey.touchpoints))
    ]
    points.sort(key=lambda one: (-(one.impact or 0), -(one.score or 0), one.touchpoint))
    return FrictionResult(
        semantics=FrictionSemantics(
            weights={name: query.weights.get(name, 1.0) for name in COMPONENTS},
            within=query.model_dump(mode="json")["within"],
            least=query.least,
            opening_hours=query.opening_hours is not None,
            impact=(
                "score / 100 x profiles x value expected of one at the stage"
                if query.journey.value
                else "score / 100 x profiles"
            ),
        ),
        touchpoints=tuple(points),
        disagreements=disagreements(points),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: FrictionQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `touchpoint:[id]`, or of a component that counts cases
    those of its cases, such as `abandonment:[id]`. Raises BucketInvalid.
    """
    kind, place = parse(number)
    ids = [point.id for point in query.journey.touchpoints]
    cases: dict[str, tuple[str, str, str]] = {"touchpoint": ("visit", "true", "true")}
    cases |= {str(name): case for name, case in _CASES.items()}
    if len(place) != 1 or place[0] not in ids or kind not in cases:
        raise unknown(number, ", ".join(f"{name}:[id]" for name in cases))
    parameters = Parameters()
    text = _relations(query, as_of, parameters)
    source, against, judged = cases[kind]
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM {_rows(source)}"
        f" WHERE point = {ids.index(place[0])} AND ({against}) AND ({judged}) ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _rows(source: str) -> str:
    """A relation beside the horizon and `within`, under names that the cases use."""
    return f"{'step' if source == 'event' else source}, bound"


def _relations(query: FrictionQuery, as_of: datetime, parameters: Parameters) -> str:
    flags = marks(query.surveys)
    if query.failure is not None:
        flags["failed"] = query.failure
    text = stays(query.journey, query.range, as_of, parameters, marks=flags)
    within = f"{parameters.bind(microseconds_of(query.within))}::BIGINT"
    relations = [
        f"bound AS (SELECT ends, {within} AS w FROM horizon)",
        "finished AS (SELECT point, t AS began, next_t AS ended FROM visit"
        " WHERE next_t IS NOT NULL)",
        opened(
            query.opening_hours,
            as_of,
            parameters,
            relation="finished",
            columns=("began", "ended"),
            name="clocked",
        ),
        "dwell AS (SELECT point, ended - began AS opened FROM clocked)",
        _failing(query),
        spoken(query.surveys, parameters)
        if query.surveys
        else "answered AS (SELECT 0 AS point, 0.0 AS fallen WHERE false)",
    ]
    return ", ".join([text, *relations])


def _failing(query: FrictionQuery) -> str:
    """Each visit, and whether something failed during it."""
    if query.failure is None:
        return "failing AS (SELECT 0 AS person_id, 0 AS point, false AS failed WHERE false)"
    return """failing AS (
        SELECT v.person_id, v.point, f.visit_pos IS NOT NULL AS failed
        FROM visit v LEFT JOIN (
            SELECT DISTINCT f.person_id, v.pos AS visit_pos
            FROM placed f ASOF JOIN visit v ON v.person_id = f.person_id AND v.pos <= f.pos
            WHERE f.failed) f ON f.person_id = v.person_id AND f.visit_pos = v.pos)"""


def _seen(
    query: FrictionQuery, rates: Mapping[str, Any], dwells: Any, voices: Any
) -> dict[int, dict[Component, Observed]]:
    seen: dict[int, dict[Component, Observed]] = {
        number: {} for number in range(len(query.journey.touchpoints))
    }
    for name in _CASES:
        for one in rates[name] or ():
            seen[one["point"]][name] = Observed(
                one["n"], one["k"], profiles=one["profiles"], affected=one["affected"]
            )
    for one in dwells:
        if one["n"]:
            seen[one["point"]]["slowness"] = Observed(n=one["n"], level=one["level"] / 1e6)
    for one in voices:
        seen[one["point"]]["voice"] = Observed(n=one["n"], level=one["level"])
    return seen


def _point(
    query: FrictionQuery,
    number: int,
    components: list[Any],
    seen: Mapping[Component, Observed],
    size: Mapping[str, int],
    risk: Mapping[str, float] | None,
) -> FrictionPoint:
    point = query.journey.touchpoints[number]
    named = tuple(
        one.model_copy(update={"bucket": bucket(one.name, point.id)}) if one.name in _CASES else one
        for one in components
    )
    value, profiles = score(named), size.get("profiles", 0)
    each = 1.0 if risk is None else risk.get(point.stage, 0.0)
    present = {one.name for one in named}
    return FrictionPoint(
        touchpoint=point.id,
        name=point.name,
        stage=point.stage,
        channel=point.channel,
        profiles=profiles,
        visits=size.get("visits", 0),
        score=value,
        components=named,
        absent={name: seen[name].n if name in seen else 0
                for name in COMPONENTS if name not in present},
        value_at_risk=None if risk is None else each,
        impact=None if value is None else value / 100 * profiles * each,
        assessment=point.assessment,
        bucket=bucket("touchpoint", point.id),
    )  # fmt: skip
