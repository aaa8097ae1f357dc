"""What a plan says of an event: the modes, the places, and that no value is ever repeated."""

import string
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.plans.check import MOST_VIOLATIONS, Plan, Verdict
from app.plans.definition import OTHER, parse

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["order_id", "revenue"],
    "properties": {
        "order_id": {"type": "string"},
        "revenue": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string"}, "price": {"$ref": "#/$defs/money"}},
            },
        },
        "labels": {"additionalProperties": {"type": "string"}},
    },
    "patternProperties": {"^utm_": {"type": "string"}},
    "additionalProperties": False,
    "$defs": {"money": {"type": "number"}},
}


@dataclass
class Event:
    properties: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    type: str = "track"
    name: str | None = "Order"


def plan(mode: str = "observe", *, unplanned: str = "observe", **rule: Any) -> Plan:
    rules = [{"type": "track", "event": "Order", "properties": ORDER, **rule}]
    definition = parse({"mode": mode, "unplanned_events": unplanned, "rules": rules})
    return Plan(definition, key="shop", number=3, version_id=7)


def kinds(verdict: Verdict | None) -> set[tuple[str, str, str]]:
    assert verdict is not None
    return {
        (v.pointer.removeprefix("/properties"), v.keyword, v.action) for v in verdict.violations
    }


GOOD = {"order_id": "o", "revenue": 1}
#: Properties, and the place and keyword of each fault in them.
FAULTS: list[tuple[dict[str, Any], set[tuple[str, str]]]] = [
    ({}, {("/order_id", "required"), ("/revenue", "required")}),
    ({**GOOD, "revenue": "1"}, {("/revenue", "type")}),
    ({**GOOD, "revenue": -1}, {("/revenue", "minimum")}),
    ({**GOOD, "currency": "GBP"}, {("/currency", "enum")}),
    ({**GOOD, "items": [{"sku": "a"}, {}, {}]}, {("/items/*/sku", "required")}),
    ({**GOOD, "items": [{"sku": 1, "price": "x"}, 3]},
     {("/items/*/sku", "type"), ("/items/*/price", "type"), ("/items/*", "type")}),
    ({**GOOD, "labels": {"ada@example.org": 1}}, {("/labels/*", "type")}),
    ({**GOOD, "utm_ada": 1}, {("/*", "type")}),
    ({**GOOD, "colour": 1}, {("/colour", "additionalProperties")}),
    ({**GOOD, "a/b": 1}, {("/a~1b", "additionalProperties")}),
    ({**GOOD, "ada@example.org": 1}, {("/*", "additionalProperties")}),
    ({**GOOD, "0612345678": 1, "order 20261122": 1}, {("/*", "additionalProperties")}),
]  # fmt: skip


@pytest.mark.parametrize(("properties", "expected"), FAULTS)
def test_a_fault_is_told_by_its_place_in_the_schema_and_its_keyword(
    properties: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    event = Event(properties)
    for mode, action in (("observe", "observed"), ("reject", "rejected")):
        verdict = plan(mode).check(event)
        assert kinds(verdict) == {(*fault, action) for fault in expected}
        assert verdict is not None
        assert verdict.rejected == (mode == "reject")
        assert (verdict.properties, verdict.context) == (None, None)
    assert event.properties is properties


def test_an_event_as_planned_has_no_verdict() -> None:
    for mode in ("observe", "drop", "reject"):
        good = {**GOOD, "currency": "EUR", "items": [{"sku": "a", "price": 1.5}], "utm_x": "y"}
        assert plan(mode, unplanned="reject").check(Event(good)) is None


def test_dropping_takes_out_what_offends_and_leaves_the_rest() -> None:
    event = Event(
        {
            "order_id": "o", "revenue": "1", "currency": "GBP", "colour": 1, "x@y": 2,
            "items": [{"sku": "a", "price": "x"}, {"sku": "b", "price": 2}],
            "labels": {"a": 1, "b": "c"},
        }
    )  # fmt: skip
    before = repr(event.properties)
    verdict = plan("drop").check(event)
    assert verdict is not None
    assert verdict.properties == {
        "order_id": "o",
        "items": [{"sku": "a"}, {"sku": "b", "price": 2}],
        "labels": {"b": "c"},
    }
    # That `revenue` is missing now is our own doing, and not told.
    assert kinds(verdict) == {
        ("/revenue", "type", "dropped"), ("/currency", "enum", "dropped"),
        ("/colour", "additionalProperties", "dropped"), ("/*", "additionalProperties", "dropped"),
        ("/items/*/price", "type", "dropped"), ("/labels/*", "type", "dropped"),
    }  # fmt: skip
    assert repr(event.properties) == before
    assert not verdict.rejected


def test_what_dropping_does_not_heal_is_accepted_and_told() -> None:
    verdict = plan("drop").check(Event({"order_id": "o"}))
    assert kinds(verdict) == {("/revenue", "required", "observed")}
    assert verdict is not None
    assert (verdict.rejected, verdict.properties) == (False, None)


def test_an_element_of_a_list_is_dropped_with_its_list() -> None:
    verdict = plan("drop").check(Event({**GOOD, "items": [{"sku": "a"}, "b"]}))
    assert verdict is not None
    assert verdict.properties == GOOD


def test_consent_and_identifiers_of_the_context_are_never_dropped() -> None:
    schema = {"properties": {"page": {"type": "object"}}, "additionalProperties": False}
    context = {"consent": {}, "externalIds": [], "device": {"id": "d"}, "page": 3, "os": 1}
    verdict = plan("drop", context=schema).check(Event(GOOD, context))
    assert verdict is not None
    assert verdict.context == {"consent": {}, "externalIds": [], "device": {"id": "d"}}
    assert verdict.properties is None
    assert {(v.pointer, v.action) for v in verdict.violations} == {
        ("/context/page", "dropped"), ("/context/os", "dropped"), ("/context/consent", "observed"),
        ("/context/externalIds", "observed"), ("/context/device", "observed"),
    }  # fmt: skip


def test_an_event_without_a_rule_is_unplanned_where_its_call_has_rules() -> None:
    for unplanned, rejected in (("observe", False), ("reject", True)):
        verdict = plan(unplanned=unplanned).check(Event(name="Order Complete"))
        assert verdict is not None
        assert verdict.rejected == rejected
        [violation] = verdict.violations
        assert (violation.event, violation.keyword) == ("Order Complete", "unplanned_event")
    assert plan(unplanned="allow").check(Event(name="Order Complete")) is None
    assert plan(unplanned="reject").check(Event(name="Home", type="page")) is None
    for name in ("ada@example.org", "Order 123456 Sent", "x" * 200, "<script>"):
        verdict = plan().check(Event(name=name))
        assert verdict is not None
        assert [v.event for v in verdict.violations] == [OTHER]


def test_the_rule_of_an_event_comes_before_that_of_every_event() -> None:
    rules = [
        {"type": "page", "properties": {"required": ["a"]}, "mode": "reject"},
        {"type": "page", "event": "Home", "properties": {"required": ["b"]}},
    ]
    made = Plan(parse({"rules": rules}), key="k", number=1, version_id=1)
    other = made.check(Event(type="page", name="Elsewhere"))
    home = made.check(Event(type="page", name="Home"))
    assert (other and other.rejected, home and home.rejected) == (True, False)
    assert other is not None
    assert other.violations[0].event == "*"  # a page may be called after its visitor
    assert made.check(Event({"b": 1}, type="page", name="Home")) is None
    assert made.check(Event({"a": 1}, type="page", name=None)) is None


def test_what_the_validator_cannot_take_is_told_and_raises_nothing() -> None:
    for properties in ({**GOOD, "currency": "\ud800"}, {**GOOD, "\udfff": 1}):
        for mode in ("observe", "drop", "reject"):
            verdict = plan(mode).check(Event(properties))
            assert verdict is not None
            assert verdict.violations
            assert verdict.rejected == (mode == "reject")


def test_an_event_with_thousands_of_faults_is_told_in_a_few() -> None:
    for mode in ("observe", "drop"):
        verdict = plan(mode).check(Event({**GOOD, **{f"p{n % 10}x{n}": 1 for n in range(5000)}}))
        assert verdict is not None
        assert len(verdict.violations) <= MOST_VIOLATIONS
        if mode == "drop":
            assert verdict.properties == GOOD


SECRETS = st.text(string.ascii_letters + string.digits + "@.-+ ", min_size=12, max_size=30).map(
    lambda text: f"{text}@example.org"
)
VALUES = st.recursive(
    SECRETS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SECRETS, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(ORDER["properties"])) | SECRETS, VALUES, max_size=6),
    st.sampled_from(["observe", "drop", "reject"]),
)
def test_no_value_and_no_name_that_is_data_is_ever_in_a_violation(
    properties: dict[str, Any], mode: str
) -> None:
    verdict = plan(mode).check(Event(properties))
    if verdict is not None:
        assert "@" not in "".join(map(repr, verdict.violations)) + verdict.message
