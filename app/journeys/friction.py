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
    observed,
    score,
    scored,
)
from app.journeys.friction_moves import transitions
from app.journeys.friction_request import COMPONENTS, Component, FrictionQuery
from app.journeys.friction_sql import (
    AT_POINTS,
    OF_MOVES,
    Case,
    counted,
    levels,
    moves,
    relations,
    rows,
)
from app.journeys.predicate import Parameters
from app.journeys.worth import at_risk, worth


def friction(
    connection: duckdb.DuckDBPyConnection, query: FrictionQuery, *, as_of: datetime
) -> FrictionResult:
    """Score every touchpoint over the view `event`. Read-only."""
    parameters = Parameters()
    text = relations(query, as_of, parameters)
    row = connection.execute(
        f"""{text} SELECT {counted(AT_POINTS)}, {levels("dwell", "answered", "visit")}""",
        parameters.values,
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    rates, dwells, voices, sizes = row
    seen = observed(range(len(query.journey.touchpoints)), rates, dwells, voices)
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
        transitions=transitions(connection, query, as_of) if query.transitions else (),
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: FrictionQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number: `touchpoint:[id]`, `move:[from,to]`, or of a component
    that counts cases those of its cases, such as `abandonment:[id]`, `failure:[from,to]`. Raises
    BucketInvalid.
    """
    kind, place = parse(number)
    ids = [point.id for point in query.journey.touchpoints]
    moved = len(place) == 2
    cases: dict[str, Case] = {
        "move" if moved else "touchpoint": ("move" if moved else "visit", "true", "true")
    }
    cases |= {str(name): case for name, case in (OF_MOVES if moved else AT_POINTS).items()}
    if len(place) > 2 or not set(place) <= set(ids) or kind not in cases:
        raise unknown(number, ", ".join(f"{name}:[id]" for name in ("touchpoint", *AT_POINTS)))
    parameters = Parameters()
    text = relations(query, as_of, parameters)
    text += f", {moves(query)}" if moved else ""
    point = 0
    for name in place:
        point = point * len(ids) + ids.index(name)
    source, against, judged = cases[kind]
    found = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM {rows(source)}"
        f" WHERE point = {point} AND ({against}) AND ({judged}) ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in found]


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
        one.model_copy(update={"bucket": bucket(one.name, point.id)})
        if one.name in AT_POINTS
        else one
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
