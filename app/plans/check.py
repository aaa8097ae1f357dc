"""Puts an event to its tracking plan: what differs, and what the plan wants done about it.

A violation says where and what, never which value: it holds the event's name, a JSON pointer made
of the names in the schema, and the JSON Schema keyword that was not met.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, Protocol

from app.plans import special
from app.plans.checker import PLAIN_NAME, Checker, Difference
from app.plans.definition import EVERY, OTHER, TRAIT_CALLS, Definition, Mode, Rule
from app.plans.subschemas import token

Action = Literal["observed", "dropped", "rejected"]
#: The keyword of an event for which the plan has no rule.
UNPLANNED = "unplanned_event"
#: The keyword of values the validator itself cannot take, such as half a character.
UNREADABLE = "unreadable"
#: The keyword of an event with so many values that its check would hold up all others.
TOO_MUCH = "too_large_to_check"
#: Different violations that are told of one event, differences looked at to find them, and those
#: that are taken out of its values in one pass.
MOST_VIOLATIONS = 20
MOST_LOOKED_AT = 200
MOST_TAKEN_OUT = 1000
#: Characters of a pointer that are kept: it is part of an index.
LONGEST_POINTER = 300
#: How often values are put to the schema again after something was taken out.
MOST_PASSES = 3
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
    values: Checker | None
    context: Checker | None

    def affordable(self, event: Event) -> bool:
        """Say whether the event is small enough for the work of this rule."""
        return (self.values is None or self.values.affordable(event.properties)) and (
            self.context is None or self.context.affordable(event.context)
        )

    def is_valid(self, event: Event) -> bool:
        """Say whether the event is as planned; raises ValueError when it cannot be read."""
        return (self.values is None or self.values.is_valid(event.properties)) and (
            self.context is None or self.context.is_valid(event.context)
        )


class Plan:
    """One version of a tracking plan, ready to be used; immutable, shared by all threads."""

    __slots__ = (
        "_calls", "_known", "_rules", "_special", "_unplanned", "key", "number", "version_id",
    )  # fmt: skip

    def __init__(self, definition: Definition, *, key: str, number: int, version_id: int) -> None:
        """Compile every schema of the definition."""
        self.key = key
        self.number = number
        self.version_id = version_id
        self._unplanned = definition.unplanned_events
        self._special = definition.special_categories
        schemas = list(definition.schemas)
        self._known = special.labels(schemas).keys() | special.harmless(schemas)
        self._calls = frozenset(rule.type for rule in definition.rules)
        self._rules: dict[tuple[str, str], _Compiled] = {
            (rule.type, rule.event): _compiled(rule, definition.mode) for rule in definition.rules
        }

    def check(self, event: Event) -> Verdict | None:
        """Return what the plan says of an event; None when the event is as planned.

        Never raises and never changes the event.
        """
        verdict, hints = self._planned(event), tuple(self._hints(event))
        if not hints:
            return verdict
        verdict = verdict or Verdict(())
        return replace(
            verdict,
            violations=(*verdict.violations, *hints)[-MOST_VIOLATIONS:],
            rejected=verdict.rejected or self._special == "reject",
        )

    def _hints(self, event: Event) -> Iterator[Violation]:
        """Tell of names that sound like special categories, and are not declared."""
        key = (event.type, event.name or "")
        places = [("/traits" if event.type in TRAIT_CALLS else "/properties", event.properties)]
        rejects = self._special == "reject"
        if rejects:
            places.append((CONTEXT, event.context))
        for place, value in places:
            sounding = dict.fromkeys(
                name
                for name in special.names_in(value)
                if special.suspicious(name) and special.normalised(name) not in self._known
            )
            for name in islice(sounding, MOST_VIOLATIONS):
                shown = token(name) if PLAIN_NAME.fullmatch(name) else "*"
                yield Violation(
                    event.type,
                    key[1] if key in self._rules else OTHER,
                    f"{place}/{shown}"[:LONGEST_POINTER],
                    special.UNDECLARED,
                    "rejected" if rejects else "observed",
                    invented=True,
                )

    def _planned(self, event: Event) -> Verdict | None:
        rule = self._rules.get((event.type, event.name or "")) or self._rules.get(
            (event.type, EVERY)
        )
        if rule is None:
            return self._without_rule(event)
        try:
            if not rule.affordable(event):
                return _verdict(rule, event.type, [Difference("", TOO_MUCH)])
            if rule.is_valid(event):
                return None
        except ValueError:  # also half a character: UnicodeEncodeError
            return _verdict(rule, event.type, [Difference("", UNREADABLE)])
        if rule.mode == "drop":
            return _drop(rule, event)
        return _verdict(rule, event.type, _differences(rule, event))

    def _without_rule(self, event: Event) -> Verdict | None:
        if self._unplanned == "allow" or event.type not in self._calls:
            return None
        name = event.name or ""
        shown = name if not name or PLAIN_NAME.fullmatch(name) else OTHER
        rejected = self._unplanned == "reject"
        action: Action = "rejected" if rejected else "observed"
        violation = Violation(event.type, shown, "", UNPLANNED, action, shown not in ("", OTHER))
        return Verdict((violation,), rejected)


def _compiled(rule: Rule, mode: Mode) -> _Compiled:
    return _Compiled(
        rule.event,
        rule.mode or mode,
        "/traits" if rule.type in TRAIT_CALLS else "/properties",
        Checker(rule.values) if rule.values is not None else None,
        Checker(rule.context) if rule.context is not None else None,
    )


def _told(found: Difference, rule: _Compiled, call: str, action: Action) -> Violation:
    pointer = found.pointer[:LONGEST_POINTER]
    return Violation(call, rule.event, pointer, found.keyword, action, found.invented)


def _differences(rule: _Compiled, event: Event) -> list[Difference]:
    values = _of(rule.values, event.properties, rule.prefix, MOST_LOOKED_AT)
    return values + _of(rule.context, event.context, CONTEXT, MOST_LOOKED_AT)


def _of(checker: Checker | None, value: dict[str, Any], prefix: str, most: int) -> list[Difference]:
    if checker is None:
        return []
    try:
        return list(islice(checker.differences(value, prefix), most))
    except ValueError:
        return [Difference(prefix, UNREADABLE)]


def _verdict(rule: _Compiled, call: str, differences: Iterable[Difference]) -> Verdict:
    """Tell each difference once, however many values of the event show it."""
    rejected = rule.mode == "reject"
    action: Action = "rejected" if rejected else "observed"
    found = dict.fromkeys(_told(each, rule, call, action) for each in differences)
    return Verdict(tuple(islice(found, MOST_VIOLATIONS)), rejected)


def _drop(rule: _Compiled, event: Event) -> Verdict:
    """Take out what offends, again until nothing does; what that does not heal is only told.

    That a required property is missing because it was just taken out is not told again.
    """
    told: dict[Violation, None] = {}
    kept: list[dict[str, Any] | None] = []
    for checker, value, prefix in (
        (rule.values, event.properties, rule.prefix),
        (rule.context, event.context, CONTEXT),
    ):
        rest = deepcopy(value) if checker else value
        taken = False
        for turn in range(MOST_PASSES):
            gone = False
            for found in _of(checker, rest, prefix, MOST_TAKEN_OUT):
                out = any([_take_out(rest, place, prefix) for place in found.offenders])
                gone |= out
                if out or not turn:
                    told[_told(found, rule, event.type, "dropped" if out else "observed")] = None
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
