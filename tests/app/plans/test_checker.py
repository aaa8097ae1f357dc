"""Where a value differs from a schema: found lazily, told once, and in bounded time."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.plans.check import TOO_MUCH, Verdict
from app.plans.checker import Checker
from app.plans.schema import compiled, faults
from tests.app.plans.test_check import Event, plan

NAMES = st.sampled_from(["a", "b", "a/b", "é ~", "%41"])
PLAIN = st.sampled_from(
    [
        {"type": "string"}, {"type": ["integer", "null"]}, {"enum": ["x", 1]}, {"const": [1]},
        {"minLength": 2}, {"minimum": 1}, {"required": ["a", "b"]}, {"maxProperties": 1},
        {"dependentRequired": {"a": ["b"]}}, {"minItems": 2}, {"uniqueItems": True}, True, False,
        {"pattern": "^x"}, {"format": "date"},
    ]
)  # fmt: skip


def _further(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(NAMES, inner, max_size=2)
    several = st.lists(inner, min_size=1, max_size=2)
    keywords = {
        "properties": named, "patternProperties": st.dictionaries(st.just("^a"), inner),
        "additionalProperties": inner, "dependentSchemas": named, "items": inner,
        "prefixItems": several, "contains": inner, "allOf": several, "anyOf": several,
        "oneOf": several, "not": inner, "if": inner, "then": inner, "else": inner,
        "propertyNames": inner, "unevaluatedProperties": inner, "unevaluatedItems": inner,
        "minContains": st.integers(0, 2), "maxContains": st.integers(1, 2),
        "type": st.sampled_from(["object", "array"]), "required": st.just(["a"]),
        "$ref": st.just("#/$defs/one~1two%20"),
    }  # fmt: skip
    return st.fixed_dictionaries({}, optional=keywords).map(
        lambda schema: dict(list(schema.items())[:4])
    )


SCHEMAS = st.recursive(PLAIN, _further, max_leaves=6).filter(lambda s: isinstance(s, dict))
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 1.5, "", "x", "xy", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=3))
def test_something_is_told_of_a_value_if_and_only_if_the_validator_refuses_it(
    schema: dict[str, Any], value: dict[str, Any]
) -> None:
    schema = {**schema, "$defs": {"one/two ": {"maxProperties": 2, "maxItems": 2}}}
    assert not faults(schema), schema
    told = list(Checker(schema).differences(value, ""))
    assert bool(told) != compiled(schema).is_valid(value), told


ANY: dict[str, Any] = {"anyOf": [{"type": "object", "required": [f"b{n}"]} for n in range(20)]}
MISSING: dict[str, Any] = {"required": [f"b{n}" for n in range(20)]}


def spent(mode: str, item: dict[str, Any], elements: list[Any]) -> tuple[float, Verdict]:
    """Return the time to put a list to a plan, and what is said of it."""
    made = plan(mode, properties={"properties": {"a": {"type": "array", "items": item}}})
    event = Event({"a": elements})
    started = time.perf_counter()
    verdict = made.check(event)
    assert verdict is not None
    return time.perf_counter() - started, verdict


@pytest.mark.parametrize("mode", ["observe", "drop", "reject"])
def test_ten_thousand_faults_in_one_list_cost_no_more_than_those_that_are_told(mode: str) -> None:
    # With every error listed, also those beneath each branch: 4.2 s and 628 MB, 3.2 s and 480 MB.
    for item, elements, keyword in (
        (ANY, [0] * 16_000, "anyOf"), (MISSING, [{}] * 10_000, "required")
    ):  # fmt: skip
        seconds, verdict = spent(mode, item, elements)
        assert seconds < 0.5, (mode, keyword, seconds)
        assert {v.keyword for v in verdict.violations} == {keyword}


def test_a_choice_is_told_as_one_fault_at_its_place() -> None:
    for keyword in ("anyOf", "oneOf"):
        schema = {"properties": {"a": {keyword: [{"type": "string"}, {"minimum": 5}]}}}
        [difference] = Checker(schema).differences({"a": 1}, "/properties")
        assert (difference.pointer, difference.keyword) == ("/properties/a", keyword)
    [difference] = Checker({"not": {"required": ["a"]}}).differences({"a": 1}, "")
    assert (difference.pointer, difference.keyword) == ("", "not")


def test_what_no_subschema_speaks_of_is_found_beside_what_is_missing() -> None:
    schema = {
        "required": ["id"],
        "allOf": [{"properties": {"id": True}}],
        "unevaluatedProperties": False,
    }
    told = {(d.pointer, d.keyword) for d in Checker(schema).differences({"x": 1}, "")}
    assert told == {("/id", "required"), ("/x", "unevaluatedProperties")}


def test_an_event_whose_check_would_hold_up_all_others_is_told_so_and_not_checked() -> None:
    wide = {"anyOf": [{"const": f"v{n}"} for n in range(4_900)]}
    for mode, rejected in (("observe", False), ("drop", False), ("reject", True)):
        seconds, verdict = spent(mode, wide, ["v4899"] * 3_000)
        assert seconds < 0.2
        assert [v.keyword for v in verdict.violations] == [TOO_MUCH]
        assert (verdict.rejected, verdict.properties) == (rejected, None)
    made = plan(properties={"properties": {"a": {"items": wide}}})
    assert made.check(Event({"a": ["v4899"] * 150})) is None
