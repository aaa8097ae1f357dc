"""Puts an event to its tracking plan: what differs, and what the plan wants done about it.

A violation says where and what, never which value: it holds the event's name, a JSON pointer made
of the names in the schema, and the JSON Schema keyword that was not met.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Literal, Protocol

import jsonschema_rs

from app.plans.definition import EVERY, OTHER, TRAIT_CALLS, Definition, Mode, Rule
from app.plans.schema import compiled, token

Action = Literal["observed", "dropped", "rejected"]
#: The keyword of an event for which the plan has no rule.
UNPLANNED = "unplanned_event"
#: The keyword of values the validator itself cannot take, such as half a character.
UNREADABLE = "unreadable"
#: Different violations that are told of one event, and faults looked at to find them.
MOST_VIOLATIONS = 20
MOST_FAULTS = 200
#: Characters of a pointer that are kept: it is part of an index.
LONGEST_POINTER = 300
#: How often values are put to the schema again after something was taken out.
MOST_PASSES = 3
#: A name that is shown although the plan does not know it: it reads like a name and not like data.
_PLAIN_NAME = re.compile(r"[A-Za-z$_](?:[A-Za-z _.:$/-]|\d(?!\d{4})){0,79}")
#: What taking a property out does not heal: something is missing, or there is too much of it all.
_INCURABLE = frozenset({"required", "dependentRequired", "minProperties", "maxProperties"})
#: Members of the context that are consent or identity: a plan never takes them out.
PROTECTED = frozenset({"consent", "consentManagement", "externalIds", "device"})
CONTEXT = "/context"


class Event(Protocol):
    """What is read of an event, and only when its rule asks for it."""

    @property
    def type(self) -> str:
        """The call type."""

    @property
    def name(self) -> str | None:
        """The name of the event."""

    @property
    def properties(self) -> dict[str, Any]:
        """Its properties or traits."""

    @property
    def context(self) -> dict[str, Any]:
        """Its context."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which an event differs from its plan.

    `invented` says that the sender made up a name in it, so that there may be any number.
    """

    type: str
    event: str
    pointer: str
    keyword: str
    action: Action = "observed"
    invented: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a plan says of one event that is not as planned.

    `properties` and `context` are what the event is stored with; None leaves them as they came.
    """

    violations: tuple[Violation, ...]
    rejected: bool = False
    properties: dict[str, Any] | None = None
    context: dict[str, Any] | None = None

    @property
    def message(self) -> str:
        """What the sender is told: where and what, without any value."""
        return ", ".join(f"{v.pointer or '/'} {v.keyword}" for v in self.violations[:10])


@dataclass(frozen=True, slots=True)
class _Compiled:
    event: str
    mode: Mode
    prefix: str
    values: jsonschema_rs.Validator | None
    context: jsonschema_rs.Validator | None


class Plan:
    """One version of a tracking plan, ready to be used; immutable, shared by all threads."""

    __slots__ = ("_calls", "_rules", "_unplanned", "key", "number", "version_id")

    def __init__(self, definition: Definition, *, key: str, number: int, version_id: int) -> None:
        """Compile every schema of the definition."""
        self.key = key
        self.number = number
        self.version_id = version_id
        self._unplanned = definition.unplanned_events
        self._calls = frozenset(rule.type for rule in definition.rules)
        self._rules: dict[tuple[str, str], _Compiled] = {
            (rule.type, rule.event): _compiled(rule, definition.mode) for rule in definition.rules
        }

    def check(self, event: Event) -> Verdict | None:
        """Return what the plan says of an event; None when the event is as planned.

        Never raises and never changes the event.
        """
        rule = self._rules.get((event.type, event.name or "")) or self._rules.get(
            (event.type, EVERY)
        )
        if rule is None:
            return self._without_rule(event)
        try:
            if (rule.values is None or rule.values.is_valid(event.properties)) and (
                rule.context is None or rule.context.is_valid(event.context)
            ):
                return None
        except ValueError:  # also half a character: UnicodeEncodeError
            return _verdict(rule, event.type, [_Fault("", UNREADABLE)])
        if rule.mode == "drop":
            return _drop(rule, event)
        return _verdict(rule, event.type, _faults(rule, event))

    def _without_rule(self, event: Event) -> Verdict | None:
        if self._unplanned == "allow" or event.type not in self._calls:
            return None
        name = event.name or ""
        shown = name if not name or _PLAIN_NAME.fullmatch(name) else OTHER
        rejected = self._unplanned == "reject"
        action: Action = "rejected" if rejected else "observed"
        violation = Violation(event.type, shown, "", UNPLANNED, action, shown not in ("", OTHER))
        return Verdict((violation,), rejected)


def _compiled(rule: Rule, mode: Mode) -> _Compiled:
    return _Compiled(
        rule.event,
        rule.mode or mode,
        "/traits" if rule.type in TRAIT_CALLS else "/properties",
        compiled(rule.values) if rule.values is not None else None,
        compiled(rule.context) if rule.context is not None else None,
    )


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error of the validator: its place in the plan, and the places of what offends."""

    pointer: str
    keyword: str
    offenders: tuple[tuple[str | int, ...], ...] = ()
    invented: bool = False

    def told(self, rule: _Compiled, call: str, action: Action) -> Violation:
        """Return what is told of it."""
        pointer = self.pointer[:LONGEST_POINTER]
        return Violation(call, rule.event, pointer, self.keyword, action, self.invented)


def _faults(rule: _Compiled, event: Event) -> list[_Fault]:
    found = _of(rule.values, event.properties, rule.prefix) if rule.values else []
    return found + (_of(rule.context, event.context, CONTEXT) if rule.context else [])


def _of(validator: jsonschema_rs.Validator, value: dict[str, Any], prefix: str) -> list[_Fault]:
    try:
        errors = list(islice(validator.iter_errors(value), MOST_FAULTS))
    except ValueError:
        return [_Fault(prefix, UNREADABLE)]
    return [fault for error in errors for fault in _read(error, prefix)]


def _read(error: jsonschema_rs.ValidationError, prefix: str) -> Iterator[_Fault]:
    place = prefix + _pointer(tuple(error.evaluation_path))
    path, kind, keyword = tuple(error.instance_path), error.kind, error.kind.name
    if isinstance(kind, kind.AdditionalProperties | kind.UnevaluatedProperties):
        yield from _unexpected(place, keyword, path, kind.unexpected)
    elif isinstance(kind, kind.PropertyNames):
        yield _Fault(place, keyword, ((*path, str(kind.error.instance)),))
    elif isinstance(kind, kind.Required):
        yield _Fault(f"{place}/{token(kind.property)}", keyword)
    else:
        yield _Fault(place, keyword, () if keyword in _INCURABLE else (path,))


def _unexpected(
    place: str, keyword: str, path: tuple[str | int, ...], names: list[str]
) -> Iterator[_Fault]:
    """Tell the first unexpected names that read like names, and all others together."""
    others = []
    for number, name in enumerate(names):
        if number < MOST_VIOLATIONS and _PLAIN_NAME.fullmatch(name):
            yield _Fault(f"{place}/{token(name)}", keyword, ((*path, name),), invented=True)
        else:
            others.append((*path, name))
    if others:
        yield _Fault(f"{place}/*", keyword, tuple(others))


@lru_cache(maxsize=10_000)
def _pointer(path: tuple[str | int, ...]) -> str:
    """Return where in the value a keyword of the schema looks, by the names of the schema.

    `properties/items/items/properties/price/type` → `/items/*/price`. Names that only the value
    holds (array indexes, keys of maps) become `*`: they may be data.
    """
    out: list[str] = []
    steps = iter(path[:-1])  # the last one is the keyword that was not met
    for step in steps:
        if step == "properties":
            out.append(token(next(steps, "")))
        elif step == "patternProperties":
            next(steps, None)
            out.append("*")
        elif step in ("allOf", "anyOf", "oneOf", "dependentSchemas", "$defs"):
            next(steps, None)
        elif step == "prefixItems":
            out.append(str(next(steps, "")))
        elif step in ("items", "contains", "additionalProperties", "unevaluatedProperties",
                      "unevaluatedItems", "propertyNames"):  # fmt: skip
            out.append("*")
    return "".join(f"/{part}" for part in out)


def _verdict(rule: _Compiled, call: str, faults: Iterable[_Fault]) -> Verdict:
    """Tell each fault once, however many values of the event show it."""
    rejected = rule.mode == "reject"
    action: Action = "rejected" if rejected else "observed"
    found = dict.fromkeys(fault.told(rule, call, action) for fault in faults)
    return Verdict(tuple(islice(found, MOST_VIOLATIONS)), rejected)


def _drop(rule: _Compiled, event: Event) -> Verdict:
    """Take out what offends, again until nothing does; what that does not heal is only told.

    That a required property is missing because it was just taken out is not told again.
    """
    told: dict[Violation, None] = {}
    kept: list[dict[str, Any] | None] = []
    for validator, value, prefix in (
        (rule.values, event.properties, rule.prefix),
        (rule.context, event.context, CONTEXT),
    ):
        rest = deepcopy(value) if validator else value
        taken = False
        for turn in range(MOST_PASSES):
            gone = False
            for fault in _of(validator, rest, prefix) if validator else ():
                out = any([_take_out(rest, place, prefix) for place in fault.offenders])
                gone |= out
                if out or not turn:
                    told[fault.told(rule, event.type, "dropped" if out else "observed")] = None
            taken |= gone
            if not gone:
                break
        kept.append(rest if taken else None)
    values, context = kept
    return Verdict(tuple(islice(told, MOST_VIOLATIONS)), properties=values, context=context)


def _take_out(value: dict[str, Any], place: Sequence[str | int], prefix: str) -> bool:
    """Take the smallest member of an object that holds this place out; False when there is none.

    An element of a list is not taken out alone, since that would renumber the others. What was
    taken out before counts as taken out.
    """
    path = list(place)
    while path and isinstance(path[-1], int):
        path.pop()
    if not path or (prefix == CONTEXT and path[0] in PROTECTED):
        return False
    holder: Any = value
    for step in path[:-1]:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return True  # it stood in something that is out already
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
    return True
