"""Puts a value to one JSON Schema: whether it is right, and where it is not.

Written beside the validator because its list of errors is made whole before the first is read,
with all that stands beneath `anyOf`: an event of 32 KB against 20 alternatives took 4.2 s and
628 MB (4,900 alternatives: 30 s for 662 bytes). This walk is lazy, goes down only where the
validator says no, and tells `anyOf`, `oneOf` and `not` as one difference: 6 ms and less than 1 MB.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import jsonschema_rs

from app.plans import schema
from app.plans.subschemas import (
    LIST,
    MOST_WORK,
    NAMED,
    ONE,
    PLAIN,
    UNEVALUATED,
    Walk,
    target_of,
    token,
)

#: Names that are told of one object, apart from all its others together.
MOST_NAMES = 20
#: A name that is shown although the plan does not know it: it reads like a name and not like data.
PLAIN_NAME = re.compile(r"[A-Za-z$_](?:[A-Za-z _.:$/-]|\d(?!\d{4})){0,79}")
#: What taking a property out does not heal: something is missing, or there is too much of it all.
_INCURABLE = frozenset({"minProperties", "maxProperties"})
#: Told here, since the validator makes a list of all that is missing.
_MISSING = frozenset({"required", "dependentRequired"})
_CHOICES = ("anyOf", "oneOf", "not")

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A place in the plan that was not met, and the places of what offends.

    Array indexes and names that only the value holds (keys of maps) read `*`: they may be data.
    """

    pointer: str
    keyword: str
    offenders: tuple[Path, ...] = ()
    invented: bool = False


class Checker:
    """One schema, compiled; immutable, shared by all threads."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        """Compile it; the parts are compiled when there is something to tell."""
        walk = Walk(wanted)
        self._wanted = wanted
        self._nodes = walk.nodes
        self._heavy = walk.heavy & walk.nodes.keys()
        self._whole = schema.compiled(wanted)
        self._most = (MOST_WORK - walk.cost.once) // walk.cost.each if walk.cost.each else None

    def affordable(self, value: object) -> bool:
        """Say whether a value is small enough to be put to this schema in some milliseconds."""
        return self._most is None or not _holds_more(value, self._most)

    def is_valid(self, value: object) -> bool:
        """Say whether a value is right; raises ValueError for one that cannot be read."""
        return self._whole.is_valid(value)

    def differences(self, value: object, prefix: str) -> Iterator[Difference]:
        """Yield where a value is not right, one by one; raises ValueError as `is_valid`."""
        yield from self._at("", value, prefix, ())

    @cached_property
    def _parts(self) -> jsonschema_rs.ValidatorMap:
        return schema.each_compiled(_taken_apart(self._wanted, self._nodes))

    def _valid(self, pointer: str, value: object) -> bool:
        return self._parts[f"#{pointer}"].is_valid(value)

    def _at(self, pointer: str, value: Any, place: str, path: Path) -> Iterator[Difference]:
        # What is most of the work above it was not right there, as a rule: asking again at every
        # level would multiply the work (28 levels: 0.94 s, now 0.08 s).
        if pointer not in self._heavy and self._valid(pointer, value):
            return
        node = self._nodes.get(pointer)
        if node is None:
            yield Difference(place, "falseSchema", (path,))
            return
        yield from self._own(pointer, node, value, place, path)
        whole = True
        for difference in self._beneath(pointer, node, value, place, path):
            whole = False
            yield difference
        if whole and any(keyword in node for keyword in UNEVALUATED):
            yield from self._unevaluated(pointer, value, place, path)

    def _own(
        self, pointer: str, node: Mapping[str, Any], value: Any, place: str, path: Path
    ) -> Iterator[Difference]:
        """Yield what the node itself says of the value, and not its subschemas."""
        for error in self._errors(_part(pointer, "own"), value):
            keyword = error.kind.name
            yield Difference(place, keyword, () if keyword in _INCURABLE else (path,))
        if isinstance(value, dict):
            for name in node.get("required", ()):
                if name not in value:
                    yield Difference(f"{place}/{token(name)}", "required")
            for name, others in node.get("dependentRequired", {}).items():
                if name in value and not all(other in value for other in others):
                    yield Difference(place, "dependentRequired")

    def _errors(self, pointer: str, value: Any) -> list[jsonschema_rs.ValidationError]:
        found = self._parts.get(f"#{pointer}")
        return list(found.iter_errors(value)) if found else []

    def _beneath(
        self, pointer: str, node: Mapping[str, Any], value: Any, place: str, path: Path
    ) -> Iterator[Difference]:
        if "$ref" in node:
            yield from self._at(target_of(node), value, place, path)
        for number in range(len(node.get("allOf", ()))):
            yield from self._at(f"{pointer}/allOf/{number}", value, place, path)
        if "if" in node:
            branch = "then" if self._valid(f"{pointer}/if", value) else "else"
            if branch in node:
                yield from self._at(f"{pointer}/{branch}", value, place, path)
        for keyword in _CHOICES:
            if keyword in node and not self._valid(_part(pointer, keyword), value):
                yield Difference(place, keyword, (path,))
        if isinstance(value, dict):
            yield from self._object(pointer, node, value, place, path)
        elif isinstance(value, list):
            yield from self._list(pointer, node, value, place, path)

    def _object(
        self, pointer: str, node: Mapping[str, Any], value: dict[str, Any], place: str, path: Path
    ) -> Iterator[Difference]:
        named = node.get("properties", {})
        patterns = {p: _pattern(p) for p in node.get("patternProperties", {})}
        beyond = []
        for name, inner in value.items():
            below = (*path, name)
            if "propertyNames" in node and not self._valid(f"{pointer}/propertyNames", name):
                yield Difference(place, "propertyNames", (below,))
            if name in named:
                at = token(name)
                yield from self._at(f"{pointer}/properties/{at}", inner, f"{place}/{at}", below)
            fits = [p for p, pattern in patterns.items() if pattern.is_valid(name)]
            for p in fits:
                at = f"{pointer}/patternProperties/{token(p)}"
                yield from self._at(at, inner, f"{place}/*", below)
            if not fits and name not in named:
                beyond.append(name)
            if name in node.get("dependentSchemas", ()):
                at = f"{pointer}/dependentSchemas/{token(name)}"
                yield from self._at(at, value, place, path)
        if node.get("additionalProperties", True) is False:
            yield from _unexpected(place, "additionalProperties", path, beyond)
        elif "additionalProperties" in node:
            for name in beyond:
                at = f"{pointer}/additionalProperties"
                yield from self._at(at, value[name], f"{place}/*", (*path, name))

    def _list(
        self, pointer: str, node: Mapping[str, Any], value: list[Any], place: str, path: Path
    ) -> Iterator[Difference]:
        first = len(node.get("prefixItems", ()))
        for number, inner in enumerate(value[:first]):
            at = f"{pointer}/prefixItems/{number}"
            yield from self._at(at, inner, f"{place}/{number}", (*path, number))
        if "items" in node:
            for number, inner in enumerate(value[first:], first):
                yield from self._at(f"{pointer}/items", inner, f"{place}/*", (*path, number))
        if "contains" in node and not self._valid(_part(pointer, "contains"), value):
            yield Difference(place, "contains", (path,))

    def _unevaluated(
        self, pointer: str, value: Any, place: str, path: Path
    ) -> Iterator[Difference]:
        """Yield what no subschema has spoken of; asked when all of them are content."""
        for error in self._errors(_part(pointer, "unevaluated"), value):
            kind = error.kind
            if isinstance(kind, kind.UnevaluatedProperties):
                yield from _unexpected(place, kind.name, path, kind.unexpected)
            else:
                yield Difference(place, kind.name, (path,))


def _unexpected(place: str, keyword: str, path: Path, names: list[str]) -> Iterator[Difference]:
    """Tell the first unexpected names that read like names, and all others together."""
    others = []
    for number, name in enumerate(names):
        if number < MOST_NAMES and PLAIN_NAME.fullmatch(name):
            at = f"{place}/{token(name)}"
            yield Difference(at, keyword, ((*path, name),), invented=True)
        else:
            others.append((*path, name))
    if others:
        yield Difference(f"{place}/*", keyword, tuple(others))


def _part(pointer: str, kind: str) -> str:
    """Return the pointer of a part that is not a subschema of the author's own."""
    return f"/$defs/{token(f'{kind} {pointer}')}"


def _taken_apart(
    wanted: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a schema with the parts of its nodes that are asked alone as further `$defs`."""
    parts: dict[str, Any] = {}
    for pointer, node in nodes.items():
        own = {k: v for k, v in node.items() if k in PLAIN - _MISSING - {"$ref", "$schema"}}
        beneath = _referring(pointer, node)
        cut = {
            "own": own,
            **{keyword: {keyword: beneath.get(keyword)} for keyword in _CHOICES},
            "contains": {k: v for k, v in beneath.items() if k.endswith("ontains")},
            "unevaluated": beneath,
        }
        wanted_parts = {"own": bool(own), "unevaluated": any(k in node for k in UNEVALUATED)}
        parts |= {
            f"{kind} {pointer}": part
            for kind, part in cut.items()
            if wanted_parts.get(kind, kind in node)
        }
    return {**wanted, "$defs": {**wanted.get("$defs", {}), **parts}}


def _referring(pointer: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without its own say: each subschema is a reference to where it stands."""
    out: dict[str, Any] = {"$ref": node["$ref"]} if "$ref" in node else {}
    for keyword, value in node.items():
        at = f"{pointer}/{keyword}"
        if keyword in UNEVALUATED or keyword in ("minContains", "maxContains"):
            out[keyword] = value
        elif keyword in ONE:
            out[keyword] = _reference(at)
        elif keyword in LIST:
            out[keyword] = [_reference(f"{at}/{n}") for n in range(len(value))]
        elif keyword in NAMED and keyword != "$defs":
            out[keyword] = {name: _reference(f"{at}/{token(name)}") for name in value}
    return out


def _reference(pointer: str) -> dict[str, str]:
    return {"$ref": "#" + quote(pointer)}


@lru_cache(maxsize=1000)
def _pattern(pattern: str) -> jsonschema_rs.Validator:
    return schema.compiled({"pattern": pattern})


def _holds_more(value: object, most: int) -> bool:
    """Say whether there are more values than so many in this one, at any depth."""
    count = 0
    left = [value] if isinstance(value, dict | list) else []
    while left:
        holder = left.pop()
        inner = holder.values() if isinstance(holder, dict) else holder
        count += len(inner)
        if count > most:
            return True
        left += [entry for entry in inner if isinstance(entry, dict | list)]
    return False
