"""Proposes a tracking plan from events that arrived: names, types, what is always there.

A proposal holds no value of a single person. Names must read like names and come from several
people; values appear only as an enumeration of few plain words that many people share, and never
those of traits, which describe a person.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import jsonschema_rs

from app.plans.definition import MOST_RULES, TRAIT_CALLS
from app.plans.schema import compiled

#: Formats that are proposed where every value has them.
FORMATS = ("date-time", "date", "uuid", "email", "uri")
#: An object with more names than this is a map, and its names are data.
MOST_NAMES = 100
DEEPEST = 4
#: Places, of all events together, that are looked at: each takes about 1 KB.
MOST_PLACES = 20_000
#: Values of an enumeration: how many there may be, how often and by how many people each was sent.
MOST_VALUES = 12
LEAST_OCCURRENCES = 50
LEAST_PEOPLE = 5
#: Fewer events than this say nothing about what is always there.
LEAST_EVENTS = 5

_NAME = re.compile(r"[A-Za-z$_](?:[A-Za-z _.:$/-]|\d(?!\d{3})){0,79}")
_WORD = re.compile(r"[A-Za-z](?:[A-Za-z _-]|\d(?!\d{2})){0,29}")
#: Parts of names whose values are a person's own, or free text.
_PERSONAL = re.compile(
    r"name|mail|phone|mobile|tel|address|street|city|town|zip|post|birth|age|gender|sex|title|"
    r"relig|health|diag|ip|user|person|customer|member|(^|[_.\s-])id|id$|uuid|token|key|secret|"
    r"iban|card|account|message|comment|text|note|query|search|term|url|uri|path|referrer|lat|lon",
    re.IGNORECASE,
)
#: JSON's types by those of Python.
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class Arrival(NamedTuple):
    """One event that arrived; `person` tells people apart and appears nowhere."""

    type: str
    name: str
    person: int
    values: dict[str, Any]


class Proposal(NamedTuple):
    """A definition to edit and publish, and what it rests on."""

    definition: dict[str, Any]
    events: int
    left_out: int


@dataclass(slots=True)
class _Room:
    """How many more places may be looked at."""

    left: int = MOST_PLACES

    def taken(self) -> bool:
        """Take one place; False when there is none left."""
        self.left -= 1
        return self.left >= 0


@dataclass(slots=True)
class _Shape:
    """What the values of one place looked like."""

    seen: int = 0
    people: set[int] = field(default_factory=set)
    types: Counter[str] = field(default_factory=Counter)
    names: dict[str, "_Shape"] = field(default_factory=dict)
    items: "_Shape | None" = None
    formats: tuple[str, ...] = FORMATS
    words: dict[str, list[Any]] | None = field(default_factory=dict)

    def add(self, value: Any, person: int, depth: int, room: _Room) -> None:
        """Look at one more value."""
        self.seen += 1
        if len(self.people) < LEAST_PEOPLE:
            self.people.add(person)
        kind = _kind(value)
        self.types[kind] += 1
        if kind == "string":
            self._string(value, person)
        elif kind == "object" and depth < DEEPEST:
            self._object(value, person, depth, room)
        elif kind == "array" and depth < DEEPEST and (self.items or room.taken()):
            self.items = self.items or _Shape()
            for entry in value[:50]:
                self.items.add(entry, person, depth + 1, room)

    def _object(self, value: dict[str, Any], person: int, depth: int, room: _Room) -> None:
        for name, inner in value.items():
            shape = self.names.get(name)
            if shape is None:
                if len(self.names) > MOST_NAMES or not room.taken():
                    continue
                shape = self.names[name] = _Shape()
            shape.add(inner, person, depth + 1, room)

    def _string(self, value: str, person: int) -> None:
        if self.formats:
            self.formats = tuple(f for f in self.formats if _format(f).is_valid(value))
        if self.words is None:
            return
        if not _WORD.fullmatch(value) or (
            value not in self.words and len(self.words) >= MOST_VALUES
        ):
            self.words = None
            return
        count = self.words.setdefault(value, [0, set()])
        count[0] += 1
        if len(count[1]) < LEAST_PEOPLE:
            count[1].add(person)


def propose(arrivals: Iterable[Arrival], *, required_share: float = 0.98) -> Proposal:
    """Return a plan that describes what arrived, in the mode that only observes.

    A property is required where it was there in at least `required_share` of the events. How
    often something was seen stands beside it as `x-seen`.
    """
    shapes: dict[tuple[str, str], _Shape] = {}
    room = _Room()
    events = left_out = 0
    for arrival in arrivals:
        events += 1
        key = (arrival.type, arrival.name if arrival.type == "track" else "*")
        known = key in shapes
        if not known and (
            len(shapes) >= MOST_RULES or not (key[1] == "*" or _NAME.fullmatch(key[1]))
        ):
            left_out += 1
            continue
        shapes.setdefault(key, _Shape()).add(arrival.values, arrival.person, 0, room)
    rules = [
        {
            "type": call,
            "event": name,
            "description": f"Seen {shape.seen} times.",
            "traits" if call in TRAIT_CALLS else "properties": _object_schema(
                shape, required_share, may_list=call not in TRAIT_CALLS
            ),
        }
        for (call, name), shape in sorted(shapes.items())
    ]
    definition = {"mode": "observe", "unplanned_events": "observe", "rules": rules}
    return Proposal(definition, events, left_out)


def _kind(value: Any) -> str:
    return _KINDS[type(value)]


@cache
def _format(name: str) -> jsonschema_rs.Validator:
    return compiled({"format": name})


def _schema(shape: _Shape, name: str, share: float, may_list: bool) -> dict[str, Any]:
    types = set(shape.types)
    if "number" in types:
        types.discard("integer")
    out: dict[str, Any] = {"type": sorted(types) if len(types) > 1 else min(types)}
    if "object" in types:
        out |= _object_schema(shape, share, may_list)
        out["type"] = sorted(types) if len(types) > 1 else "object"
    if "array" in types and shape.items is not None and shape.items.seen:
        out["items"] = _schema(shape.items, name, share, may_list)
    if types - {"null"} == {"string"}:
        if shape.formats and shape.types["string"] >= LEAST_EVENTS:
            out["format"] = shape.formats[0]
        elif may_list and types == {"string"} and _listable(shape, name):
            out["enum"] = sorted(shape.words or ())
    return {**out, "x-seen": shape.seen}


def _listable(shape: _Shape, name: str) -> bool:
    """Say whether the values are few words that many people share, and nobody's own."""
    return (
        shape.words is not None
        and shape.seen >= LEAST_OCCURRENCES
        and not _PERSONAL.search(name)
        and all(len(people) >= LEAST_PEOPLE for _, people in shape.words.values())
    )


def _object_schema(shape: _Shape, share: float, may_list: bool) -> dict[str, Any]:
    """Return the schema of an object; names that are data, or one person's, are left out."""
    out: dict[str, Any] = {"type": "object", "properties": {}}
    if len(shape.names) > MOST_NAMES:
        return {"type": "object"}
    objects = shape.types["object"]
    people = min(LEAST_PEOPLE, max(1, len(shape.people) // 2))
    for name, inner in sorted(shape.names.items()):
        if _NAME.fullmatch(name) and len(inner.people) >= people:
            out["properties"][name] = _schema(inner, name, share, may_list)
    required = [
        name
        for name in out["properties"]
        if objects >= LEAST_EVENTS and shape.names[name].seen >= share * objects
    ]
    return {**out, **({"required": required} if required else {})}
