"""A match means the same in Python and in DuckDB, and carries nobody's SQL."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.journeys.match import (
    EventView,
    Match,
    matches,
    may_be_called,
    names,
    properties,
)
from app.journeys.predicate import Parameters, json_pointer, microseconds, sql

History = Callable[[Sequence[Mapping[str, Any]]], duckdb.DuckDBPyConnection]

WORDS = st.sampled_from(["a", "b", "ab", "é", "", "5", "true", "null", "A~/*\"'$[0]", "0", "-1"])
NUMBERS = (
    st.integers(-3, 3)
    | st.sampled_from([5, 2**53 + 1, -(2**70), 10**25])
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
SCALARS = WORDS | NUMBERS | st.booleans()
VALUES = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
PATHS = st.lists(WORDS.filter(bool), min_size=1, max_size=3).map(".".join)


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "exists"]))
    value: Any = draw(SCALARS)
    if op == "in":
        value = draw(st.lists(SCALARS, min_size=1, max_size=3))
    elif op == "exists":
        value = draw(st.booleans())
    elif op in ("gt", "gte", "lt", "lte"):
        value = draw(WORDS | NUMBERS)
    return {"prop": draw(PATHS), "op": op, "value": value}


TYPES = WORDS | st.sampled_from(["identify", "group"])
PLAIN = st.fixed_dictionaries({}, optional={"event": WORDS, "type": TYPES, "source": WORDS}).filter(
    bool
)
LEAVES = comparisons() | PLAIN | st.builds(lambda one, two: {**one, **two}, comparisons(), PLAIN)
MATCHES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=5,
)
EVENTS = st.fixed_dictionaries(
    {
        "type": TYPES | st.none(),
        "name": WORDS | st.none(),
        "source": WORDS | st.none(),
        "properties": st.none() | st.dictionaries(WORDS, VALUES, max_size=4),
    }
)


def fitting(connection: duckdb.DuckDBPyConnection, match: Match) -> list[bool]:
    parameters = Parameters()
    rows = connection.execute(
        f"SELECT {sql(match, parameters)} FROM event ORDER BY event_id",  # noqa: S608 - the statement under test
        parameters.values,
    ).fetchall()
    return [row[0] for row in rows]


@settings(max_examples=150, deadline=None)
@given(match=MATCHES, events=st.lists(EVENTS, min_size=1, max_size=8))
def test_duckdb_and_python_agree_on_any_event(
    match: dict[str, Any], events: list[dict[str, Any]], history: History
) -> None:
    asked = Match.model_validate(match)
    rows = [
        {**one, "properties": None if one["properties"] is None else json.dumps(one["properties"])}
        for one in events
    ]
    connection = history(rows)
    fits = [matches(asked, EventView(**one)) for one in events]
    assert fitting(connection, asked) == fits
    assert all(
        may_be_called(asked, one["name"]) for one, fit in zip(events, fits, strict=True) if fit
    )
    called = names(asked)
    for one, fit in zip(events, fits, strict=True):
        if fit:
            assert called is None or one["name"] in called
        top = properties(asked)
        kept = {key: value for key, value in (one["properties"] or {}).items() if key in top}
        assert matches(asked, EventView(**{**one, "properties": kept or None})) == fit
    connection.close()


@settings(max_examples=150, deadline=None)
@given(match=comparisons(), value=VALUES)
def test_duckdb_and_python_agree_on_a_property_that_is_there(
    match: dict[str, Any], value: object, history: History
) -> None:
    asked = Match.model_validate(match)
    properties: Any = value
    for part in reversed(match["prop"].split(".")):
        properties = {part: properties}
    connection = history([{"properties": json.dumps(properties)}])
    seen = EventView(type=None, name=None, source=None, properties=properties)
    assert fitting(connection, asked) == [matches(asked, seen)]
    connection.close()


def test_traits_are_missing_to_a_test_that_does_not_name_their_type(history: History) -> None:
    events = [
        {"type": type_, "properties": '{"country": "FR"}'}
        for type_ in ("identify", "group", "track")
    ]
    connection = history(events)
    for match, fits in (
        ({"prop": "country", "value": "FR"}, [False, False, True]),
        ({"prop": "country", "op": "ne", "value": "DE"}, [True, True, True]),
        ({"prop": "country", "op": "ne", "value": "FR"}, [True, True, False]),
        ({"prop": "country", "op": "exists"}, [False, False, True]),
        ({"prop": "country", "op": "exists", "value": False}, [True, True, False]),
        ({"type": "identify", "prop": "country", "value": "FR"}, [True, False, False]),
        ({"all": [{"type": "group"}, {"prop": "country", "op": "exists"}]}, [False] * 3),
    ):
        asked = Match.model_validate(match)
        seen = [EventView(e["type"], None, None, json.loads(e["properties"])) for e in events]
        assert fitting(connection, asked) == [matches(asked, one) for one in seen] == fits, match


@pytest.mark.parametrize("text", ["x' OR true --", '"; DROP TABLE kept; --', "$p0", "?", "\\'"])
def test_what_people_write_never_becomes_sql(text: str, history: History) -> None:
    connection = history([{"name": text, "properties": json.dumps({text: text})}, {"name": "x"}])
    for shape in ('{"event": %s}', '{"prop": %s, "op": "in", "value": [%s]}'):
        said, plain = (
            Match.model_validate_json(shape.replace("%s", json.dumps(word)))
            for word in (text, "word")
        )
        assert sql(said, Parameters()) == sql(plain, Parameters())
        assert fitting(connection, said) == [True, False]


def test_numbers_beyond_a_double_fit_no_comparison(history: History) -> None:
    connection = history([{"properties": '{"n": 1e400}'}, {"properties": '{"n": 7}'}])
    asked = Match.model_validate({"prop": "n", "op": "gt", "value": 1})
    assert fitting(connection, asked) == [False, True]
    assert not matches(asked, EventView(None, None, None, {"n": float("inf")}))
    assert not matches(asked, EventView(None, None, None, {"n": 10**400}))


def test_a_path_becomes_a_pointer_without_wildcards() -> None:
    assert json_pointer("cart.a/b.~*.0") == "/cart/a~1b/~0*/0"


def test_a_moment_without_a_zone_is_refused() -> None:
    assert microseconds(datetime.fromisoformat("1970-01-01T00:00:01.000001Z")) == 1_000_001
    with pytest.raises(ValueError, match="time zone"):
        microseconds(datetime(2026, 1, 1))
