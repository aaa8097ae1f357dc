"""Walks through a JSON Schema: its subschemas, what is wrong with them, and what a check costs.

The cost is counted before any event comes: some work per event, and some for each value that the
event holds, since what stands under `items` or `additionalProperties` is put to every one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Levels of subschemas inside each other.
DEEPEST = 32
#: Subschemas that one value may have to pass, references written out.
LARGEST = 5_000
#: References that one subschema may lead through.
LONGEST_CHAIN = 50
#: Patterns of one schema, references written out.
MOST_PATTERNS = 50
#: Work that one event may cause; about 20 ns each, and 0.2 µs in the worst case that was found:
#: 2,000,000 of it, an `anyOf` of 4,900 branches under `items`, were 20 ms.
MOST_WORK = 1_000_000
#: What a number that is no integer, or an object, costs in an enumeration, which is read through
#: for it, and what a division costs: 0.4 to 2 µs, in units of MOST_WORK.
SLOW = 20
#: Beneath `unevaluatedProperties` and `unevaluatedItems` every subschema is gone through again;
#: measured 2.5 times, at every level anew.
AGAIN = 3

#: Where subschemas stand: alone, in a list, or under names of the author's choice.
ONE = frozenset(
    {
        "additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains",
        "propertyNames", "not", "if", "then", "else",
    }
)  # fmt: skip
LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
PLAIN = frozenset(
    {
        "$ref", "$schema", "$comment", "type", "enum", "const", "multipleOf", "maximum",
        "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern",
        "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties",
        "minProperties", "required", "dependentRequired", "format", "title", "description",
        "default", "deprecated", "readOnly", "writeOnly", "examples",
    }
)  # fmt: skip
_KNOWN = ONE | LIST | NAMED | PLAIN
#: What is put to any number of values, or names, of one event.
_MANY = frozenset(
    {
        "items", "contains", "unevaluatedItems", "patternProperties", "additionalProperties",
        "unevaluatedProperties", "propertyNames",
    }
)  # fmt: skip
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
#: What `unevaluatedProperties` and `unevaluatedItems` go through again.
_AGAIN = frozenset(
    {
        "$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas",
        "contains",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fault:
    """A place in a document, as a JSON pointer (RFC 6901), and what is wrong there."""

    pointer: str
    detail: str


def token(part: object) -> str:
    """Return one reference token of a JSON pointer (RFC 6901 §3)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def children(node: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the subschemas of a node: the keyword, the pointer within the node, the subschema."""
    for keyword, value in node.items():
        if keyword in ONE:
            yield keyword, f"/{keyword}", value
        elif keyword in LIST and isinstance(value, list):
            for number, inner in enumerate(value):
                yield keyword, f"/{keyword}/{number}", inner
        elif keyword in NAMED and isinstance(value, dict):
            for name, inner in value.items():
                yield keyword, f"/{token(keyword)}/{token(name)}", inner


@dataclass(frozen=True, slots=True)
class Cost:
    """What a value put to a subschema costs at most, its references written out.

    `once` is work in any case, `each` work for every value within; in the units of MOST_WORK.
    """

    size: int = 1
    once: int = 1
    each: int = 0
    patterns: int = 0

    @property
    def weight(self) -> int:
        """What it costs for some thousand values, to compare by."""
        return self.once + 1_000 * self.each


class Walk:
    """One walk through a schema, which notes its subschemas by their pointers, and its faults."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        """Walk through all of it; `faults` is empty when it may be used."""
        self.faults: list[Fault] = []
        self.nodes: dict[str, Mapping[str, Any]] = {}
        self.cost = Cost()
        #: Subschemas that are most of what a node above them costs, which is the root or is put
        #: to the same value or one member of it.
        self.heavy: set[str] = {""}
        self._patterns = 0
        self._costs: dict[str, Cost] = {}
        self._open: set[str] = set()
        self._visit("", root, 0)
        if self._patterns > MOST_PATTERNS:
            self._fault("", f"{self._patterns} patterns; at most {MOST_PATTERNS}")
        if not self.faults:
            for pointer in self.nodes:
                self._cost(pointer)
        if not self.faults:
            self.cost = self._costs[""]
            self._affordable()

    def _affordable(self) -> None:
        if self.cost.size > LARGEST:
            self._fault("", f"with its references written out more than {LARGEST} subschemas")
        elif self.cost.patterns > MOST_PATTERNS:
            self._fault("", f"with its references written out more than {MOST_PATTERNS} patterns")
        elif self.cost.once + self.cost.each > MOST_WORK:
            self._fault("", "more work than any event may cause; shorten its enumerations")

    def _fault(self, pointer: str, detail: str) -> None:
        self.faults.append(Fault(pointer, detail))

    def _visit(self, pointer: str, node: object, depth: int) -> None:
        if depth > DEEPEST:
            self._fault(pointer, f"more than {DEEPEST} levels")
            return
        if not isinstance(node, dict):
            return  # true and false are schemas too; what is none, the meta-schema says
        self.nodes[pointer] = node
        for keyword in node:
            self._keyword(pointer, keyword, node[keyword])
        for _, below, inner in children(node):
            self._visit(pointer + below, inner, depth + 1)

    def _keyword(self, pointer: str, keyword: str, value: object) -> None:
        where = f"{pointer}/{token(keyword)}"
        if keyword not in _KNOWN and not keyword.startswith("x-"):
            self._fault(where, "no keyword that a plan may use; notes of your own start with x-")
        elif keyword == "$schema" and (pointer or str(value).rstrip("#") != DRAFT):
            self._fault(where, f"only {DRAFT}, and only at the top")
        elif keyword == "$ref" and not str(value).startswith("#/"):
            self._fault(where, "a reference stays in its schema: #/$defs/…")
        elif keyword == "pattern":
            self._patterns += 1
        elif keyword == "patternProperties" and isinstance(value, dict):
            self._patterns += len(value)

    def _cost(self, pointer: str) -> Cost:
        """Return what a value put to this subschema costs; what runs in a circle is a fault."""
        if pointer in self._costs:
            return self._costs[pointer]
        node = self.nodes.get(pointer)
        if node is None:
            return Cost()
        if pointer in self._open:
            self._fault(pointer, "refers to itself, directly or through others")
            return Cost()
        if len(self._open) > DEEPEST + LONGEST_CHAIN:
            self._fault(pointer, f"leads through more than {LONGEST_CHAIN} references")
            return Cost()
        self._open.add(pointer)
        places = [(k, pointer + at) for k, at, _ in children(node) if k != "$defs"]
        if "$ref" in node:
            if target_of(node) not in self.nodes:
                self._fault(f"{pointer}/$ref", "there is no subschema at this place")
            places.append(("$ref", target_of(node)))
        below = [(keyword, self._cost(at)) for keyword, at in places]
        self._open.discard(pointer)
        whole = self._costs[pointer] = _sum(node, below)
        self.heavy |= {
            at
            for (keyword, at), (_, cost) in zip(places, below, strict=True)
            if keyword not in _MANY and 2 * cost.weight > whole.weight
        }
        return whole


def target_of(node: Mapping[str, Any]) -> str:
    """Return the pointer that the reference of a node names."""
    return unquote(str(node["$ref"])[1:])


def _sum(node: Mapping[str, Any], below: list[tuple[str, Cost]]) -> Cost:
    again = any(keyword in node for keyword in UNEVALUATED)
    size, once, each = 1, _work(node), 0
    named = node.get("patternProperties")
    patterns = ("pattern" in node) + (len(named) if isinstance(named, dict) else 0)
    for keyword, cost in below:
        times = AGAIN if again and keyword in _AGAIN else 1
        size += times * cost.size
        patterns += times * cost.patterns
        each += times * cost.each
        if keyword in _MANY:
            each += times * cost.once
        else:
            once += times * cost.once
    return Cost(size, once, each, patterns)


def _work(node: Mapping[str, Any]) -> int:
    """Return the work of a node's own keywords."""
    values = node.get("enum")
    work = 1 + SLOW * ("multipleOf" in node)
    if not isinstance(values, list):
        return work
    quick = all(type(v) is int for v in values) or all(
        v is None or isinstance(v, str | bool) for v in values
    )
    return work + (len(values) // 200 if quick else SLOW * len(values))
