# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""What people who come through a journey bring, and what may be expected of those on the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from app.journeys.definition import Journey
from app.journeys.funnel_request import TimeRange
from app.journeys.predicate import Parameters, number_at
from app.journeys.stays import stage_ids, stays


@dataclass(frozen=True, slots=True)
class Worth:
    """Who came through, what they brought in all, and of each stage who is done with it.

    `closed` counts those who reached a stage and are not in progress there, `through` those of
    them who reached the last stage; both by stage.
    """

    converters: int
    value: float
    closed: Mapping[str, int]
    through: Mapping[str, int]


def worth(
    connection: duckdb.DuckDBPyConnection, journey: Journey, range: TimeRange, as_of: datetime
) -> Worth | None:
    """Return what a journey's converters brought; None where it does not say what has a value."""
    if journey.value is None:
        return None
    parameters = Parameters()
    text = stays(journey, range, as_of, parameters, marks={"valued": journey.value.match})
    stages = stage_ids(journey)
    last = len(stages) - 1
    # Amounts are added as decimals, so that the sum does not depend on the order of threads.
    row = connection.execute(
        f"""{text}, arrived AS (SELECT DISTINCT person_id FROM step WHERE stage = {last})
        SELECT (SELECT count(*) FROM arrived),
            (SELECT coalesce(sum(({number_at(journey.value.prop, parameters)})::DECIMAL(24, 6)), 0)
                FROM placed SEMI JOIN arrived USING (person_id) WHERE valued),
            (SELECT list(x) FROM (SELECT stage, count(*) AS n, count(a.person_id) AS through
                FROM left_by l LEFT JOIN arrived a USING (person_id)
                WHERE how IS DISTINCT FROM 'in_progress' GROUP BY stage) x)""",
        parameters.values,
    ).fetchone()
    converters, value, rows = row or (0, 0, None)
    return Worth(
        converters=int(converters),
        value=float(value),
        closed={stages[one["stage"]]: one["n"] for one in rows or ()},
        through={stages[one["stage"]]: one["through"] for one in rows or ()},
    )


def at_risk(journey: Journey, worth: Worth | None) -> dict[str, float] | None:
    """Return by stage what may be expected of somebody there: P(comes through) x mean value.

    None where the journey does not say what has a value.
    """
    if worth is None:
        return None
    mean = worth.value / worth.converters if worth.converters else 0.0
    return {
        stage: mean * worth.through[stage] / n if n else 0.0 for stage, n in worth.closed.items()
    }
