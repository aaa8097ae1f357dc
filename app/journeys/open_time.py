# ruff: noqa: S608 - only numbers and names of our own become text
"""The SQL of open time: moments whose difference leaves nights and holidays out."""

from datetime import datetime

from app.journeys.opening_hours import OpeningHours
from app.journeys.predicate import Parameters


def opened(
    hours: OpeningHours | None,
    as_of: datetime,
    parameters: Parameters,
    *,
    relation: str,
    columns: tuple[str, ...],
    name: str,
) -> str:
    """Return the relation `name`: `relation` with its moments in microseconds of open time.

    The last stretch that began by a moment says how much was open before it; without hours all
    time counts.
    """
    if hours is None:
        return f"{name} AS (SELECT * FROM {relation})"
    stretches = hours.stretches(as_of)
    starts, ends, before = ([one[column] for one in stretches] for column in range(3))
    bound = ", ".join(
        f"unnest({parameters.bind(values)}::BIGINT[]) AS {column}"
        for column, values in (("opens", starts), ("closes", ends), ("before", before))
    )
    replaced, joins = [], []
    for number, column in enumerate(columns):
        o = f"o{number}"
        replaced.append(
            f"CASE WHEN {column} IS NULL THEN NULL WHEN {o}.opens IS NULL THEN 0"
            f" ELSE {o}.before + least({column}, {o}.closes) - {o}.opens END AS {column}"
        )
        joins.append(f"ASOF LEFT JOIN opening {o} ON {o}.opens <= r.{column}")
    return (
        f"opening AS MATERIALIZED (SELECT {bound}), {name} AS ("
        f" SELECT r.* REPLACE ({', '.join(replaced)}) FROM {relation} r {' '.join(joins)})"
    )
