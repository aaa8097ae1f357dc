# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""What a rule says of each event, as an array beside the events in order.

A rule that reads no property is asked of each kind of event, of which there are few; the answer is
the same SQL's either way.
"""

from collections.abc import Callable
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from app.journeys.funnel_request import TimeRange
from app.journeys.match import Match
from app.journeys.predicate import Parameters, microseconds, sql
from app.lake.ordered import Array, Ordered, settle

#: Writes an expression over a row of `event`, binding its values.
Expression = Callable[[Parameters], str]


def flags(connection: duckdb.DuckDBPyConnection, events: Ordered, match: Match) -> Array:
    """Say of each event whether it fits a match."""
    found = _values(connection, events, lambda parameters: sql(match, parameters))
    return _spread(events, found, pa.bool_(), missing=False)


def numbers(
    connection: duckdb.DuckDBPyConnection, events: Ordered, expression: Expression
) -> Array:
    """Return a whole number from 0 of each event, -1 where the expression is NULL."""
    found = _values(connection, events, expression)
    return _spread(events, found, pa.int32(), missing=-1)


def labels(
    connection: duckdb.DuckDBPyConnection, events: Ordered, expression: Expression
) -> tuple[Array, list[str]]:
    """Return the place of each event's text among the texts, -1 where it is NULL, and these in
    the order of their bytes, which is DuckDB's.
    """
    found = _values(connection, events, expression)
    coded = found.column("value").combine_chunks().dictionary_encode()
    texts: list[str] = coded.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=lambda place: texts[place].encode())
    rank: Array = np.empty(len(texts), np.int32)
    rank[order] = np.arange(len(texts))
    codes = pa.array(np.append(rank, np.int32(-1))).take(coded.indices.fill_null(len(texts)))
    placed = found.set_column(1, "value", codes)
    return _spread(events, placed, pa.int32(), missing=-1), [texts[place] for place in order]


def seen(events: Ordered, as_of: datetime, range: TimeRange | None = None) -> Array:
    """Say which events happened and were received by `as_of`, and happened in the range."""
    known = events.known(microseconds(as_of))
    found: Array = np.ones(len(events), np.bool_) if known is None else known
    if range is not None and range.start is not None:
        found &= events.t >= microseconds(range.start)
    if range is not None and range.end is not None:
        found &= events.t < microseconds(range.end)
    return found


def _values(
    connection: duckdb.DuckDBPyConnection, events: Ordered, expression: Expression
) -> pa.Table:
    """Return `place` and `value`: of each kind of event, or of each event as `event_id`."""
    parameters = Parameters()
    text = expression(parameters)
    # What people wrote is bound, so the word in the text is the column.
    settle(connection)
    if "properties" in text or "context" in text:
        query = f"SELECT event_id, {text} AS value FROM event"
    else:
        connection.register("event_kind", events.kind_table)
        query = f"SELECT place, {text} AS value FROM event_kind"
    return connection.sql(query, params=parameters.values).to_arrow_table()


def _spread(events: Ordered, found: pa.Table, kind: pa.DataType, *, missing: int) -> Array:
    """Put the values where their events are."""
    value = found.column("value").combine_chunks().cast(kind)
    value = value.fill_null(pa.scalar(missing, kind)).to_numpy(zero_copy_only=False)
    key = found.column(0).to_numpy()
    if found.column_names[0] == "place":
        by_kind: Array = np.full(len(events.kinds), missing, value.dtype)
        by_kind[key] = value
        return by_kind[events.kind]
    every: Array = np.full(len(events), missing, value.dtype)
    every[events.places(key)] = value
    return every
