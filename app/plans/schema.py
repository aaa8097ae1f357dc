"""The JSON Schemas of a plan: which ones are let in, and how they are compiled.

Whoever writes a plan is trusted with what it says, not with the server: a schema may neither
reach out (`$ref` to another host or file), nor run in a circle, nor multiply (references that
double at every step), nor hold a pattern that backtracks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: Levels of subschemas inside each other.
DEEPEST = 32
#: Subschemas that one value may have to pass, references written out.
LARGEST = 5_000
#: References that one subschema may lead through.
LONGEST_CHAIN = 50
#: Patterns of one schema.
MOST_PATTERNS = 50
#: Bytes that one compiled pattern may take. The engine is linear in the text; this is the factor:
#: 32 KB against the worst pattern of this size took 11 ms.
PATTERN_BYTES = 131_072

#: Where subschemas stand: alone, in a list, or under names of the author's choice.
_ONE = frozenset(
    {
        "additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains",
        "propertyNames", "not", "if", "then", "else",
    }
)  # fmt: skip
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})
_PLAIN = frozenset(
    {
        "$ref", "$schema", "$comment", "type", "enum", "const", "multipleOf", "maximum",
        "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern",
        "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties",
        "minProperties", "required", "dependentRequired", "format", "title", "description",
        "default", "deprecated", "readOnly", "writeOnly", "examples",
    }
)  # fmt: skip
_KNOWN = _ONE | _LIST | _NAMED | _PLAIN


@dataclass(frozen=True, slots=True)
class Fault:
    """A place in a document, as a JSON pointer (RFC 6901), and what is wrong there."""

    pointer: str
    detail: str


def token(part: object) -> str:
    """Return one reference token of a JSON pointer (RFC 6901 §3)."""
    return str(part).replace("~", "~0").replace("/", "~1")


def compiled(wanted: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return the validator of a schema: offline, patterns in linear time, formats asserted.

    `mask` keeps the values of events out of every message. Raises ValueError for a schema that
    `faults` would not let in.
    """
    return jsonschema_rs.Draft202012Validator(
        dict(wanted),
        offline=True,
        validate_formats=True,
        ignore_unknown_formats=False,
        mask="the value",
        pattern_options=jsonschema_rs.RegexOptions(
            size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES
        ),
    )


def faults(wanted: Mapping[str, Any]) -> list[Fault]:
    """Return what keeps a schema from being used; none when it is fine."""
    found = _Walk(wanted).faults
    if found:
        return found
    try:
        compiled(wanted)
    except jsonschema_rs.ValidationError as error:
        pointer = "".join(f"/{token(part)}" for part in error.instance_path)
        return [Fault(pointer, _said(error))]
    except ValueError as error:
        return [Fault("", str(error).splitlines()[0])]
    return []


def _said(error: jsonschema_rs.ValidationError) -> str:
    if error.kind.name == "format" and "regex" in error.message:
        return (
            "not a pattern that can be used: no look-around and no back-references, and with its "
            f"repetitions written out at most {PATTERN_BYTES} bytes"
        )
    return error.message.splitlines()[0]


def _children(node: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield the subschemas: their pointer within the node, and whether values are put to them."""
    for keyword, value in node.items():
        if keyword in _ONE:
            yield f"/{keyword}", value, True
        elif keyword in _LIST and isinstance(value, list):
            for number, inner in enumerate(value):
                yield f"/{keyword}/{number}", inner, True
        elif keyword in _NAMED and isinstance(value, dict):
            for name, inner in value.items():
                yield f"/{token(keyword)}/{token(name)}", inner, keyword != "$defs"


class _Walk:
    """One walk through a schema, which notes its subschemas, its references and its faults."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.faults: list[Fault] = []
        self._nodes: dict[str, Mapping[str, Any]] = {}
        self._patterns = 0
        self._sizes: dict[str, int] = {}
        self._open: set[str] = set()
        self._visit("", root, 0)
        if self._patterns > MOST_PATTERNS:
            self._fault("", f"{self._patterns} patterns; at most {MOST_PATTERNS}")
        if not self.faults:
            for pointer in self._nodes:
                self._size(pointer)
        if not self.faults and self._sizes[""] > LARGEST:
            self._fault("", f"with its references written out more than {LARGEST} subschemas")

    def _fault(self, pointer: str, detail: str) -> None:
        self.faults.append(Fault(pointer, detail))

    def _visit(self, pointer: str, node: object, depth: int) -> None:
        if depth > DEEPEST:
            self._fault(pointer, f"more than {DEEPEST} levels")
            return
        if not isinstance(node, dict):
            return  # true and false are schemas too; what is none, the meta-schema says
        self._nodes[pointer] = node
        for keyword in node:
            self._keyword(pointer, keyword, node[keyword])
        for below, inner, _ in _children(node):
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

    def _size(self, pointer: str) -> int:
        """Return how many subschemas a value put to this one has to pass at most."""
        if pointer in self._sizes:
            return self._sizes[pointer]
        node = self._nodes.get(pointer)
        if node is None:
            return 1
        if pointer in self._open:
            self._fault(pointer, "refers to itself, directly or through others")
            return 0
        if len(self._open) > DEEPEST + LONGEST_CHAIN:
            self._fault(pointer, f"leads through more than {LONGEST_CHAIN} references")
            return 0
        self._open.add(pointer)
        size = 1
        for below, _, applied in _children(node):
            size += self._size(pointer + below) if applied else 0
        if "$ref" in node:
            target = unquote(str(node["$ref"])[1:])
            if target not in self._nodes:
                self._fault(f"{pointer}/$ref", "there is no subschema at this place")
            size += self._size(target)
        self._open.discard(pointer)
        self._sizes[pointer] = size
        return size
