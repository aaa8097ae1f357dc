"""A yes/no question about one event, in its own words; pure: no database, no clock, no settings.

`app.journeys.predicate` says the same rules in SQL; `tests/app/journeys/test_predicate.py` holds
both to the same answers on random events.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from app.journeys.frozen import Frozen

MAX_NESTING = 12
"""Levels of all/any/not in one match: far more than people write, far less than SQL refuses."""

LARGEST_NUMBER = 1e300
"""Numbers are compared as IEEE doubles, as in DuckDB; a larger one would compare as infinite."""

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Operator = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "exists"]


@dataclass(frozen=True, slots=True)
class EventView:
    """The part of an event that a match can read.

    `properties` is the parsed JSON object of the event, or None.
    """

    type: str | None
    name: str | None
    source: str | None
    properties: Mapping[str, object] | None = None


#: The types of events whose properties are traits, of people or accounts.
TYPES_OF_TRAITS = ("identify", "group")


class Match(Frozen):
    """A yes/no question about one event; every key that is present must hold.

    Two-valued: a missing name, source or property makes the comparison false, never unknown, and
    `ne` is exactly the negation of `eq` (an event without the property differs from any value).
    Comparisons are typed: the property "5" is not the number 5. Numbers compare as IEEE doubles,
    strings by code point, so ISO 8601 times of one zone compare in time order. `contains` is a
    substring of a string or an element of an array. A JSON null does not exist. Identify and group
    calls say traits, not properties: they have none for a test that does not name their `type`
    beside `prop`, so that who asks by traits says so.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    event: str | None = Field(default=None, description="The event's name")
    type: str | None = Field(default=None, description="The event's type: track, page, screen …")
    source: str | None = None
    prop: str | None = Field(default=None, description="Dotted path into the properties")
    op: Operator = "eq"
    value: Scalar | tuple[Scalar, ...] | None = None
    all: tuple["Match", ...] | None = Field(default=None, min_length=1)
    any: tuple["Match", ...] | None = Field(default=None, min_length=1)
    not_: "Match | None" = Field(default=None, alias="not")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        asked = (self.event, self.type, self.source, self.prop, self.all, self.any, self.not_)
        if all(part is None for part in asked):
            raise ValueError("an empty match fits every event; name what it should fit")
        if nesting(self) > MAX_NESTING:
            raise ValueError(f"nested more than {MAX_NESTING} levels deep")
        if self.prop is None:
            if self.op != "eq" or self.value is not None:
                raise ValueError("op and value need prop")
            return self
        if not all(self.prop.split(".")):
            raise ValueError(f"prop {self.prop!r} has an empty part; write it like cart.total")
        _check_value(self.op, self.value)
        return self


def _check_value(op: Operator, value: Scalar | tuple[Scalar, ...] | None) -> None:
    """Refuse a value that the operator could never use."""
    if op == "exists":
        if value is not None and not isinstance(value, bool):
            raise ValueError("exists takes true, false or no value")
        return
    if value is None:
        raise ValueError(f"{op} needs a value; to ask for absence use exists with false")
    if isinstance(value, tuple) != (op == "in") or value == ():
        raise ValueError("in takes a list of at least one, every other operator one value")
    if op in ("gt", "gte", "lt", "lte") and isinstance(value, bool):
        raise ValueError(f"{op} cannot order true and false")
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, int | float) and not abs(item) <= LARGEST_NUMBER:
            raise ValueError(f"{item} is outside ±{LARGEST_NUMBER:g}")


def nesting(match: Match) -> int:
    """Return how many levels of all/any/not a match has; a plain match has one."""
    inner = (*(match.all or ()), *(match.any or ()), *((match.not_,) if match.not_ else ()))
    return 1 + max((nesting(part) for part in inner), default=0)


def matches(match: Match, event: EventView) -> bool:
    """Say whether one event fits a match, exactly as `predicate.sql` does in DuckDB."""
    return (
        (match.event is None or event.name == match.event)
        and (match.type is None or event.type == match.type)
        and (match.source is None or event.source == match.source)
        and (match.prop is None or _property_fits(match, _told(match, event)))
        and (match.all is None or all(matches(part, event) for part in match.all))
        and (match.any is None or any(matches(part, event) for part in match.any))
        and (match.not_ is None or not matches(match.not_, event))
    )


def may_be_called(match: Match, name: str | None) -> bool:
    """Say whether an event of this name may fit a match; False is sure."""
    return (
        (match.event is None or name == match.event)
        and (match.all is None or all(may_be_called(part, name) for part in match.all))
        and (match.any is None or any(may_be_called(part, name) for part in match.any))
    )


def names(match: Match) -> set[str] | None:
    """Return the names of which one must be an event's that fits; None where it may be any."""
    bounds = [names(part) for part in match.all or ()]
    if match.event is not None:
        bounds.append({match.event})
    if match.any is not None:
        parts = [names(part) for part in match.any]
        bounds.append(None if None in parts else set().union(*(part or () for part in parts)))
    known = [bound for bound in bounds if bound is not None]
    return set.intersection(*known) if known else None


def properties(match: Match) -> set[str]:
    """Return which properties of an event, at the top, say whether it fits."""
    inner = (*(match.all or ()), *(match.any or ()), *((match.not_,) if match.not_ else ()))
    found = set().union(*map(properties, inner))
    return found if match.prop is None else found | {match.prop.split(".")[0]}


def asks_traits(match: Match) -> bool:
    """Say whether a match, by itself, tests what an identify or group call says of somebody."""
    return match.prop is not None and match.type in TYPES_OF_TRAITS


def _told(match: Match, event: EventView) -> Mapping[str, object] | None:
    hidden = event.type in TYPES_OF_TRAITS and not asks_traits(match)
    return None if hidden else event.properties


def _property_fits(match: Match, properties: Mapping[str, object] | None) -> bool:
    found = _look_up(properties, (match.prop or "").split("."))
    value = match.value
    if match.op == "exists":
        return (found is not None) == (value is not False)
    if isinstance(value, tuple):
        return any(_equal(found, item) for item in value)
    if match.op == "eq":
        return _equal(found, value)
    if match.op == "ne":
        return not _equal(found, value)
    if match.op == "contains":
        return _contains(found, value)
    return _ordered(match.op, found, value)


def _look_up(properties: object, path: Sequence[str]) -> object:
    """Follow keys of objects and indexes of arrays; None when the path leads nowhere."""
    here = properties
    for part in path:
        if isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, list) and _is_index(part) and int(part) < len(here):
            here = here[int(part)]
        else:
            return None
    return here


def _is_index(part: str) -> bool:
    """JSON Pointer (RFC 6901) array indexes: ASCII digits without a leading zero."""
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")


def _number(value: object) -> float | None:
    """Return a JSON number as a finite double; True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _equal(found: object, value: object) -> bool:
    if isinstance(value, bool):
        return found is value
    if isinstance(value, str):
        return isinstance(found, str) and found == value
    number = _number(found)
    return number is not None and number == _number(value)


def _contains(found: object, value: object) -> bool:
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    return isinstance(found, list) and any(_equal(item, value) for item in found)


def _ordered(op: Operator, found: object, value: object) -> bool:
    left: Any = found if isinstance(found, str) else _number(found)
    right: Any = value if isinstance(value, str) else _number(value)
    if left is None or isinstance(left, str) != isinstance(right, str):
        return False
    return bool(
        {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[op]
    )
