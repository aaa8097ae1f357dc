"""Where the ways between touchpoints rub: the same score, of transitions (research §4.4)."""

from datetime import datetime

import duckdb

from app.journeys.buckets import bucket
from app.journeys.friction_answer import FrictionMove, observed, score, scored
from app.journeys.friction_request import COMPONENTS, FrictionQuery
from app.journeys.friction_sql import OF_MOVES, counted, levels, moves, relations
from app.journeys.predicate import Parameters


def transitions(
    connection: duckdb.DuckDBPyConnection, query: FrictionQuery, as_of: datetime
) -> tuple[FrictionMove, ...]:
    """Score the transitions that most people make over the view `event`. Read-only.

    The reference and the worst level are those of all transitions, not of those that are listed.
    """
    parameters = Parameters()
    text = f"{relations(query, as_of, parameters)}, {moves(query)}"
    row = connection.execute(
        f"""{text} SELECT {counted(OF_MOVES)},
            {levels("moved_dwell", "moved_answered", "move")}""",
        parameters.values,
    ).fetchone()
    if row is None:
        raise RuntimeError("a select of aggregates always has one row")
    rates, dwells, voices, found = row
    sizes = {one["point"]: one for one in found or ()}
    seen = observed(sizes, rates, dwells, voices)
    components = scored(query, seen)
    points = query.journey.touchpoints
    listed = sorted(sizes, key=lambda number: (-sizes[number]["profiles"], number))
    told = []
    for number in listed[: query.transitions]:
        source, target = points[number // len(points)], points[number % len(points)]
        named = tuple(
            one.model_copy(update={"bucket": bucket(one.name, source.id, target.id)})
            if one.name in OF_MOVES
            else one
            for one in components[number]
        )
        present = {one.name for one in named}
        told.append(
            FrictionMove(
                source=source.id,
                target=target.id,
                switch=source.channel != target.channel,
                profiles=sizes[number]["profiles"],
                moves=sizes[number]["visits"],
                score=score(named),
                components=named,
                absent={name: seen[number][name].n if name in seen[number] else 0
                        for name in COMPONENTS if name not in present},
                bucket=bucket("move", source.id, target.id),
            )
        )  # fmt: skip
    told.sort(key=lambda one: (-(one.score or 0), -one.profiles, one.source, one.target))
    return tuple(told)
