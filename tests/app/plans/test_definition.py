"""Which definitions are let in, and that a hostile one is refused with the place of its fault."""

import json
import socket
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from app.errors import DefinitionInvalid
from app.events.body import to_message
from app.events.envelope import Envelope
from app.events.planned import put
from app.plans.check import Plan
from app.plans.definition import LARGEST, parse
from app.plans.schema import faults

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def doubling(steps: int) -> dict[str, Any]:
    """References that double at every step: 2 ** steps subschemas when written out."""
    defs: dict[str, Any] = {
        f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(steps)
    }
    return {"$ref": "#/$defs/a0", "$defs": {**defs, f"a{steps}": {"type": "string"}}}


def chain(steps: int) -> dict[str, Any]:
    defs = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(steps)}
    return {"$ref": "#/$defs/a0", "$defs": {**defs, f"a{steps}": {"type": "string"}}}


def gone_through_again(levels: int) -> dict[str, Any]:
    """A value that every level goes through twice: 18 levels took 4.5 s for {"x": 1}."""
    schema: dict[str, Any] = {"properties": {"x": True}}
    for _ in range(levels):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


def around(pointer: str) -> dict[str, Any]:
    return {"properties": {"child": {"$ref": pointer}}, "$defs": {"b": {"$ref": "#/$defs/b"}}}


#: Hostile or wrong schemas, and where the fault is said to be.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a reference to another host": ({"$ref": "http://127.0.0.1:9/x"}, "/$ref"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, "/$ref"),
    "a reference by relative address": ({"$ref": "other.json"}, "/$ref"),
    "a base that makes references remote": ({"$id": "http://evil.example/"}, "/$id"),
    "another meta-schema": ({"$schema": "http://evil.example/"}, "/$schema"),
    "a dynamic reference": ({"$dynamicRef": "#x"}, "/$dynamicRef"),
    "a circle through the top": (around("#/properties/child"), "/properties/child"),
    "a circle among definitions": (around("#/$defs/b"), "/$defs/b"),
    "a reference to nothing": ({"$ref": "#/$defs/none"}, "/$ref"),
    "a reference to what is no schema": ({"$ref": "#/x-a", "x-a": {"type": 3}}, "/$ref"),
    "doubling references": (doubling(30), ""),
    "a chain of references": (chain(300), "/$defs/a"),
    "too many levels": (nested(40), "/properties/a"),
    "levels that each go through all below again": (gone_through_again(18), ""),
    "an enumeration that is slow to read through": (
        {"items": {"enum": [[n] for n in range(20_000)] + [0.5] * 90_000}},
        "",
    ),
    "one pattern, put to a text many times": (
        {"allOf": [{"$ref": "#/$defs/p"}] * 60, "$defs": {"p": {"pattern": "a+b"}}},
        "",
    ),
    "look-around": ({"pattern": "(?=a)b"}, "/pattern"),
    "a back-reference": ({"pattern": r"(a)\1"}, "/pattern"),
    "a pattern that is huge when compiled": ({"pattern": "((a{1,500}){1,500}){1,500}"}, "/pattern"),
    "too many patterns": ({"patternProperties": {f"^{n}$": {} for n in range(60)}}, ""),
    "an unknown type": ({"properties": {"a": {"type": "strin"}}}, "/properties/a/type"),
    "a bound that is no number": ({"properties": {"a": {"minimum": "x"}}}, "/properties/a/minimum"),
    "an unknown format": ({"format": "e-mail"}, "/format"),
    "a misspelt keyword": ({"properties": {"a": {"requried": []}}}, "/properties/a/requried"),
    "properties that are a list": ({"properties": []}, "/properties"),
    "a subschema that is a number": ({"properties": {"a": 3}}, "/properties/a"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_schema_that_is_wrong_or_hostile_is_refused_at_its_place(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: Any) -> None:
        raise AssertionError("a schema made the server connect to something")

    monkeypatch.setattr(socket.socket, "connect", reached)
    schema, place = REFUSED[name]
    started = time.perf_counter()
    found = faults(schema)
    assert time.perf_counter() - started < 1
    assert found
    assert found[0].pointer.startswith(place), found[0]
    assert found[0].detail


def test_what_a_plan_needs_is_let_in() -> None:
    assert not faults(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["a"],
            "properties": {
                "a": {"type": ["string", "null"], "format": "date-time", "x-seen": 3},
                "b/c": {"$ref": "#/$defs/money"},
                "d": {"$ref": "#/properties/b~1c"},
                "e": {"type": "array", "items": {"$ref": "#/$defs/money"}, "minItems": 1},
            },
            "patternProperties": {"^utm_": {"type": "string", "maxLength": 100}},
            "if": {"properties": {"a": {"const": "x"}}},
            "then": {"required": ["d"]},
            "unevaluatedProperties": False,
            "$defs": {"money": {"type": "number", "minimum": 0}, "unused": True},
        }
    )
    assert not faults(doubling(10))
    assert not faults(gone_through_again(5))
    assert not faults({"items": {"enum": list(range(20_000))}})
    assert not faults(chain(40))


def test_a_pattern_that_would_backtrack_for_ever_answers_at_once() -> None:
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    definition = parse({"rules": [{"type": "track", "event": "E", "properties": schema}]})
    plan = Plan(definition, key="k", number=1, version_id=1)

    properties = to_message({"a": "a" * 30_000 + "!"})
    event = Envelope("track", "E", "m", None, None, (), NOW, None, None, properties, to_message({}))
    started = time.perf_counter()
    _, violations = put(plan, event)
    assert time.perf_counter() - started < 0.5
    assert violations[0].keyword == "pattern"


WRONG: dict[str, tuple[Any, str]] = {
    "an unknown member": ({"rulez": []}, "#/rulez"),
    "an unknown mode": ({"mode": "panic"}, "#/mode"),
    "an unknown call": ({"rules": [{"type": "alias"}]}, "#/rules/0/type"),
    "traits of a track call": ({"rules": [{"type": "track", "traits": {}}]}, "#/rules/0"),
    "properties of an identify call": (
        {"rules": [{"type": "identify", "properties": {}}]}, "#/rules/0"
    ),
    "two rules for one event": (
        {"rules": [{"type": "page"}, {"type": "page", "event": "*"}]}, "#/rules/1"
    ),
    "the name that is kept for all others": (
        {"rules": [{"type": "track", "event": "(other)"}]}, "#/rules/0"
    ),
    "a schema deep inside": (
        {"rules": [{"type": "page"}, {"type": "group", "traits": {"items": {"type": 1}}}]},
        "#/rules/1/traits/items/type",
    ),
    "a schema of the context": (
        {"rules": [{"type": "page", "context": {"$ref": "http://x.example"}}]},
        "#/rules/0/context/$ref",
    ),
    "too many rules": (
        {"rules": [{"type": "track", "event": f"E{n}"} for n in range(501)]}, "#/rules"
    ),
    "more than it may hold": (
        {"rules": [{"type": "page", "properties": {"enum": ["x" * LARGEST]}}]}, "#:"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_definition_that_is_wrong_is_refused_with_pointers(name: str) -> None:
    value, place = WRONG[name]
    with pytest.raises(DefinitionInvalid) as refused:
        parse(value)
    assert str(refused.value).startswith(place)


def test_a_definition_nested_without_end_is_refused_and_costs_nothing() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"items": deep}
    value = json.loads('{"const":' + "[" * 400 + "]" * 400 + "}")
    for schema in (deep, value):
        with pytest.raises(DefinitionInvalid):
            parse({"rules": [{"type": "page", "properties": schema}]})
