# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Who or what a number's deviation comes from: values of properties, traits, segments, sources.

Of what was expected each value's part is the one it had on the same weekdays before, so that of
events the differences of all values are the deviation itself (research §4.14).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from app.journeys.anomaly_request import AnomaliesQuery, Dimension
from app.journeys.attributes import Attribute
from app.journeys.buckets import bucket
from app.journeys.definition import Frozen
from app.journeys.predicate import OF_TRAITS, Parameters, json_pointer
from app.journeys.series import Judged, Value

#: Values that are told of each dimension of an alert.
MOST = 5


class Contribution(Frozen):
    """What one value has of an alert's deviation; `value` null is «has none».

    `n` was counted where `expected` was to be; `share` is the part of the whole deviation, and
    `usual_share` the value's part of what is usually counted: a value that has more of the
    deviation than it usually has of the number explains it.
    """

    by: Dimension
    value: Any
    n: int
    expected: float
    share: float
    usual_share: float
    bucket: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An interval to explain: its place and name, what was counted and was to be, and where.

    `usual` are the places of the same weekday before it that say what is usual.
    """

    place: int
    start: str
    value: float
    expected: float
    usual: tuple[int, ...]


def columns(query: AnomaliesQuery, parameters: Parameters) -> dict[str, str]:
    """Return, by name, what has to be kept of each event for `contributors`: SQL expressions."""
    found = {}
    for number, dimension in enumerate(query.by):
        if dimension.of is not None:
            source = {"source": "source", "event": "name"}[dimension.of]
            found[f"label_{number}"] = f"to_json({source})::VARCHAR"
        elif dimension.prop is not None:
            value = f"json_extract(properties, {parameters.bind(json_pointer(dimension.prop))})"
            there = f"NOT {OF_TRAITS} AND coalesce(json_type({value}) <> 'NULL', false)"
            found[f"label_{number}"] = f"CASE WHEN {there} THEN {value}::VARCHAR END"
    return found


def attributes(query: AnomaliesQuery) -> tuple[Attribute, ...]:
    """Return what the dimensions ask of people beside their events."""
    return tuple(
        [Attribute("trait", one.trait) for one in query.by if one.trait is not None]
        + [Attribute("segment", one.segment) for one in query.by if one.segment is not None]
    )


def alerts(
    query: AnomaliesQuery, names: Sequence[str], values: Sequence[Value], judged: Sequence[Judged]
) -> list[Alert]:
    """Return the intervals that are not usual, with those that say what is. Pure."""
    season = 7 if query.unit == "day" else 1
    plain = [
        value.skip is None and not value.holiday and one.status not in ("high", "low")
        for value, one in zip(values, judged, strict=True)
    ]
    return [
        Alert(
            place,
            names[place],
            values[place].value,
            one.expected,
            tuple(
                before
                for back in range(1, query.history + 1)
                if (before := place - back * season) >= 0 and plain[before]
            ),
        )
        for place, one in enumerate(judged)
        if one.status in ("high", "low") and one.expected is not None
    ]


def contributors(
    connection: duckdb.DuckDBPyConnection, query: AnomaliesQuery, found: Sequence[Alert]
) -> dict[int, tuple[Contribution, ...]]:
    """Return what each alert comes from, by its place; of each dimension the greatest parts first.

    It reads `active`, with the `columns` that it named. Values that moved the other way are not
    told.
    """
    said: dict[int, list[Contribution]] = {one.place: [] for one in found}
    if not found or not query.by:
        return {}
    connection.register("wanted", _wanted(found))
    try:
        for number, dimension in enumerate(query.by):
            for alert, row in _largest(connection, query, number, found):
                said[alert.place].append(_contribution(alert, number, dimension, *row))
    finally:
        connection.unregister("wanted")
    return {place: tuple(ones) for place, ones in said.items()}


def labelled(query: AnomaliesQuery, number: int, parameters: Parameters) -> str:
    """Return the SELECT of who did it where, `(person_id, place, label)`, by one dimension."""
    dimension = query.by[number]
    if dimension.of is not None or dimension.prop is not None:
        return f"SELECT person_id, place, label_{number} AS label FROM active WHERE does"
    kind, missing = ("trait", "NULL") if dimension.trait is not None else ("segment", "'false'")
    key = parameters.bind(dimension.trait if dimension.trait is not None else dimension.segment)
    return (
        f"SELECT t.person_id, t.place, coalesce(a.label, {missing}) AS label FROM active t"
        f" LEFT JOIN attribute a ON a.person_id = t.person_id AND a.kind = '{kind}'"
        f" AND a.key = {key} WHERE t.does"
    )


def _wanted(found: Sequence[Alert]) -> pa.Table:
    """The places that are asked for, each as the alert itself or as one of its usual ones."""
    rows = [(n, one.place, True) for n, one in enumerate(found)]
    rows += [(n, place, False) for n, one in enumerate(found) for place in one.usual]
    alert, place, itself = zip(*rows, strict=True)
    return pa.table(
        {
            "alert": pa.array(alert, pa.int64()),
            "place": pa.array(place, pa.int64()),
            "itself": pa.array(itself, pa.bool_()),
        }
    )


def _largest(
    connection: duckdb.DuckDBPyConnection,
    query: AnomaliesQuery,
    number: int,
    found: Sequence[Alert],
) -> list[tuple[Alert, tuple[str | None, int, float]]]:
    """Return the alerts with (label, n, usual part) of the values that moved with them most."""
    parameters = Parameters()
    counted = "count(*)" if query.count == "events" else "count(DISTINCT person_id)"
    ups = parameters.bind([one.value > one.expected for one in found])
    expected = parameters.bind([one.expected for one in found])
    rows = connection.execute(
        f"""WITH labelled AS ({labelled(query, number, parameters)}),
        counted AS (SELECT place, label, {counted} AS n FROM labelled GROUP BY place, label),
        total AS (SELECT place, {counted} AS everybody FROM labelled GROUP BY place),
        usual AS (SELECT alert, sum(everybody) AS everybody
            FROM wanted JOIN total USING (place) WHERE NOT itself GROUP BY alert),
        valued AS (SELECT alert, label, coalesce(sum(n) FILTER (itself), 0) AS n,
                coalesce(sum(n) FILTER (NOT itself), 0) AS before
            FROM wanted JOIN counted USING (place) GROUP BY alert, label),
        parted AS (SELECT alert, label, n, before / everybody AS part,
                (n - before / everybody * {expected}[alert + 1])
                    * CASE WHEN {ups}[alert + 1] THEN 1 ELSE -1 END AS moved
            FROM valued JOIN usual USING (alert) WHERE everybody > 0)
        SELECT alert, label, n, part FROM parted WHERE moved > 0
        QUALIFY row_number() OVER (PARTITION BY alert ORDER BY moved DESC, label) <= {MOST}
        ORDER BY alert, moved DESC, label""",
        parameters.values,
    ).fetchall()
    return [(found[alert], (label, int(n), float(part))) for alert, label, n, part in rows]


def _contribution(
    alert: Alert, number: int, dimension: Dimension, label: str | None, n: int, part: float
) -> Contribution:
    expected = alert.expected * part
    return Contribution(
        by=dimension,
        value=None if label is None else json.loads(label),
        n=n,
        expected=expected,
        share=(n - expected) / (alert.value - alert.expected),
        usual_share=part,
        bucket=bucket("of", alert.start, number, label),
    )
