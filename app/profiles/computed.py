"""What a computed trait says: which events, in which window, and what is made of them."""

from typing import Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from app.errors import DefinitionInvalid
from app.profiles.conditions import Property, Strict, pointed

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


class Definition(Strict):
    """A computation over the events of one name that a person's identifiers sent.

    `first`, `last` and lists follow when an event counts from, as traits do. `within_days` is a
    sliding window. Values that are absent or null do not count.
    """

    kind: Kind
    event: str = Field(min_length=1, max_length=1024)
    prop: str | None = Field(default=None, min_length=1, max_length=512)
    where: tuple[Property, ...] = Field(default=(), max_length=50)
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
    """Return a definition from its JSON; raises DefinitionInvalid, which says where it is wrong."""
    try:
        return _DEFINITION.validate_python(value)
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "definition")) from error
