"""What a computed trait says: which events, in which window, and what is made of them."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from app.errors import DefinitionInvalid
from app.profiles.conditions import RELATIVE, SENT, Called, Events, Name, pointed

Kind = Literal[
    "count", "sum", "min", "max", "average", "first", "last", "most_frequent", "unique_list",
    "last_list", "days_since", "rfm", "rfm_score",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
#: Of numbers alone; another value of the property does not count.
NUMERIC = frozenset({"sum", "min", "max", "average"})
LISTS = frozenset({"unique_list", "last_list"})
#: What asks for no property.
BARE = frozenset({"count", "days_since"})
#: What is 0 for whoever has no such event; anything else is then absent.
ZERO = frozenset({"count", "sum"})
DEFAULT_LENGTH = 10
#: What is scored of a person among all: one of three from 1 to 5, or all three as digits.
Part = Literal["recency", "frequency", "monetary", "cell"]


class Definition(Events):
    """A computation over the events that a person's identifiers sent, of one name or type.

    `first`, `last` and lists follow when an event counts from, as traits do. `within_days` is a
    sliding window. Values that are absent or null do not count; of several at the path of `prop`
    each does.
    """

    kind: Kind
    prop: Name | None = Field(default=None, min_length=1, max_length=512)
    within_days: float | None = Field(default=None, gt=0, le=36_500)
    length: int | None = Field(default=None, ge=1, le=1_000)
    part: Part | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Definition":
        if (self.prop is None) != (self.kind in BARE):
            needs = "takes no prop" if self.kind in BARE else "needs a prop"
            raise ValueError(f"{self.kind} {needs}")
        if self.length is not None and self.kind not in LISTS:
            raise ValueError("only unique_list and last_list have a length")
        if (self.part is None) != (self.kind != "rfm_score"):
            raise ValueError("rfm_score, and nothing else, has a part")
        return self


_DEFINITION: TypeAdapter[Definition] = TypeAdapter(Definition)


def parse(value: Any) -> Definition:
    """Return the definition that a client sends; raises DefinitionInvalid, which says where."""
    try:
        return _DEFINITION.validate_python(value, context=SENT)
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "definition")) from error


def stored(definition: Mapping[str, Any]) -> Definition:
    """Return a definition that was let in, by the rules of its day."""
    return _DEFINITION.validate_python(definition)


def dated(definition: Mapping[str, Any]) -> bool:
    """Say whether a stored definition asks how long ago a date of an event is."""
    return any(one.get("op") in RELATIVE for one in definition.get("where", ()))


def called_of(definition: Mapping[str, Any]) -> Called:
    """Return which events a stored definition is about."""
    return definition.get("type"), definition.get("event")
