"""Conditions on values that people sent, in the words of segments and computed traits.

What a client sends is checked whole: an operator with its value, too. What is stored already was
let in by the rules of its day and is read as it stands; `SENT` makes the difference.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from app.profiles import wrong_words

#: How long ago a date is, or how soon it comes; a date without a time is a whole day of UTC.
Relative = Literal["within_days", "older_than_days", "in_next_days"]
Operator = Literal[
    "eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "exists",
    "within_days", "older_than_days", "in_next_days",
]  # fmt: skip
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
RELATIVE = frozenset({"within_days", "older_than_days", "in_next_days"})
EventType = Literal["track", "identify", "page", "screen", "group", "alias"]
#: Which events are asked for: of this type, of this name (None: any).
Called = tuple[str | None, str | None]
#: The context in which a definition is read that a client sends.
SENT: dict[str, Any] = {"sent": True}
MOST_DAYS = 36_500
#: Values in one `in`.
MOST_VALUES = 1_000
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


def _fits(value: Any, info: ValidationInfo) -> Any:
    """Refuse a value that an operator can make nothing of, or not what it looks like."""
    op = info.data.get("op")
    if info.context and op is not None:
        why = _wrong(op, value)
        if why is not None:
            raise ValueError(why)
    return value


def _wrong(op: str, value: Any) -> str | None:
    if not _storable(value):
        return "holds a number that is none, or a character that PostgreSQL does not store"
    if op == "exists":
        fits = value is None or isinstance(value, bool)
        return None if fits else "exists takes true, which is meant without a value, or false"
    if value is None:
        return f"{op} needs a value; whether there is any, exists asks with true or false"
    if op in RELATIVE:
        fits = _is_number(value) and 0 <= value <= MOST_DAYS
        return None if fits else f"{op} takes a number of days from 0 to {MOST_DAYS}"
    if op in COMPARISONS:
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return f"{op} compares a text with texts only: write the number without quotes"
        fits = _is_number(value) or isinstance(value, str)
        return None if fits else f"{op} takes a number, or a text to compare with texts"
    if op == "in":
        if not isinstance(value, list) or not 0 < len(value) <= MOST_VALUES or None in value:
            return f"in takes a list of 1 to {MOST_VALUES} values, none of them null"
    elif op == "contains" and not (_is_number(value) or (isinstance(value, str) and value)):
        return "contains takes a text that is not empty, or a number"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _storable(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_storable(k) and _storable(v) for k, v in value.items())
    return all(map(_storable, value)) if isinstance(value, list | tuple) else True


def _named(value: Any, info: ValidationInfo) -> Any:
    if info.context and not _storable(value):
        raise ValueError("holds a character that PostgreSQL does not store")
    return value


#: The value of a condition, which must follow its `op`.
Wanted = Annotated[Any, AfterValidator(_fits), Field(validate_default=True)]
#: The name of something that people send.
Name = Annotated[str, AfterValidator(_named)]


class Strict(BaseModel):
    """A part of a definition: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Property(Strict):
    """A condition on a property of an event, by its name or its path (`app.profiles.paths`).

    Of several values at a path any one meets it; for `ne`, and for `exists` with false, none may.
    """

    prop: Name = Field(min_length=1, max_length=512)
    op: Operator = "eq"
    value: Wanted = None


class Events(Strict):
    """Which events: of this name, of this type or both, with these properties."""

    event: Name | None = Field(default=None, min_length=1, max_length=1024)
    type: EventType | None = None
    where: tuple[Property, ...] = Field(default=(), max_length=50)

    @model_validator(mode="after")
    def _asks_for_some(self) -> "Events":
        if self.event is None and self.type is None:
            raise ValueError("name an event, or a type such as page")
        return self

    @property
    def called(self) -> Called:
        """The type and the name that are asked for."""
        return self.type, self.event


Loc = tuple[int | str, ...]


def pointed(error: ValidationError, root: str, place: Callable[[Loc], Loc] = lambda at: at) -> str:
    """Say what is wrong with a definition, and where in it, as JSON pointers (RFC 6901).

    `place` makes of where pydantic was, where in what was sent that is.
    """
    return "; ".join(_said(error, root, place))


def _said(error: ValidationError, root: str, place: Callable[[Loc], Loc]) -> Iterator[str]:
    for one in error.errors(include_url=False)[:5]:
        if one["type"] == "too_short" and len(one["input"]) >= one["ctx"]["min_length"]:
            continue  # there are as many, and what is wrong with them is said
        parts = [str(p).replace("~", "~0").replace("/", "~1") for p in place(one["loc"])]
        yield f"#/{'/'.join([root, *parts])}: {wrong_words.said(one)}"
