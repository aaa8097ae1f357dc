"""What a tracking plan says: per call and event a JSON Schema, and what happens to what differs.

The schemas are JSON Schema draft 2020-12, kept within bounds that make the work per event finite:
no reference leaves the document or runs in a circle, patterns are regular in the strict sense.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import DefinitionInvalid
from app.plans import schema, special
from app.plans.subschemas import Fault, token

Mode = Literal["observe", "drop", "reject"]
Unplanned = Literal["allow", "observe", "reject"]
Call = Literal["track", "identify", "page", "screen", "group"]
#: The event of a rule that holds for every event of its call type.
EVERY = "*"
#: The name under which events and properties are counted that are too many, or not plain names.
OTHER = "(other)"
#: The key of a plan, which stands in addresses.
KEY = r"^[a-z0-9][a-z0-9_-]{0,62}$"
LONGEST_TITLE = 200
#: Calls whose values are traits; those of the others are properties.
TRAIT_CALLS = frozenset({"identify", "group"})
LARGEST = 262_144
MOST_RULES = 500


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """What one event of one call type looks like."""

    type: Call
    event: str = Field(
        default=EVERY,
        min_length=1,
        max_length=200,
        description="The name of the event, page, screen or group call; * for every other one.",
    )
    description: str = Field(default="", max_length=2000)
    mode: Mode | None = Field(default=None, description="Instead of the plan's mode.")
    properties: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the properties (track, page, screen)."
    )
    traits: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the traits (identify, group)."
    )
    context: dict[str, Any] | None = Field(default=None, description="JSON Schema of the context.")

    @model_validator(mode="after")
    def _fitting(self) -> "Rule":
        wrong, right = ("properties", "traits")
        if self.type not in TRAIT_CALLS:
            wrong, right = right, wrong
        if getattr(self, wrong) is not None:
            raise ValueError(f"a rule for {self.type} has {right}, not {wrong}")
        if self.type == "track" and self.event == OTHER:
            raise ValueError(f"an event cannot be called {OTHER}")
        return self

    @property
    def values(self) -> dict[str, Any] | None:
        """The schema of what the event says: of its traits or properties."""
        return self.traits if self.type in TRAIT_CALLS else self.properties


class Definition(_Strict):
    """A whole tracking plan, as one version of it holds it."""

    mode: Mode = Field(
        default="observe",
        description="What happens to an event that breaks its rule: observe accepts and counts "
        "it, drop takes the offending properties out, reject refuses it.",
    )
    unplanned_events: Unplanned = Field(
        default="observe",
        description="What happens to an event without a rule, of a call type that has rules.",
    )
    special_categories: Literal["observe", "reject"] = Field(
        default="observe",
        description="What happens to an event with a value whose name sounds like one of a special "
        "category (GDPR art. 9) and of which the plan does not say that it is, or is not.",
    )
    rules: tuple[Rule, ...] = Field(default=(), max_length=MOST_RULES)

    @property
    def schemas(self) -> Iterator[dict[str, Any]]:
        """Every schema of every rule."""
        for rule in self.rules:
            yield from (s for s in (rule.properties, rule.traits, rule.context) if s is not None)


def check_key(key: str) -> None:
    """Check the key of a plan; raises DefinitionInvalid."""
    if not re.fullmatch(KEY, key):
        raise DefinitionInvalid(
            f"#/key: {key[:100]!r} is no key; write at most 63 of a-z, 0-9, - and _, and no - or _ "
            "at the start"
        )


def check_title(title: str) -> None:
    """Check the title of a plan; raises DefinitionInvalid."""
    if not title.strip() or len(title) > LONGEST_TITLE:
        raise DefinitionInvalid(f"#/title: 1 to {LONGEST_TITLE} characters, and not blanks alone")


def parse(value: Mapping[str, Any]) -> Definition:
    """Return a definition whose every schema can be used as it is.

    Raises DefinitionInvalid, with a JSON pointer to each place that is wrong.
    """
    try:
        _storable(value)
        definition = Definition.model_validate(value)
    except RecursionError as error:
        raise DefinitionInvalid("#: nested too deeply") from error
    except ValidationError as error:
        faults = [Fault(_pointer(e["loc"]), e["msg"]) for e in error.errors()]
    else:
        faults = _faults(definition)
    if faults:
        shown = "; ".join(f"#{fault.pointer}: {fault.detail}" for fault in faults[:20])
        raise DefinitionInvalid(shown)
    return definition


def _storable(value: Mapping[str, Any]) -> None:
    """Check that a definition can be written as JSON, and is not too large."""
    try:
        text = json.dumps(value, default=str, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:  # NaN, Infinity, half a character
        raise DefinitionInvalid(f"#: cannot be written as JSON: {error}") from error
    if len(text) > LARGEST:
        raise DefinitionInvalid(f"#: {len(text)} bytes; at most {LARGEST}")


def _faults(definition: Definition) -> list[Fault]:
    faults = []
    seen: set[tuple[str, str]] = set()
    for number, rule in enumerate(definition.rules):
        if (rule.type, rule.event) in seen:
            faults.append(Fault(f"/rules/{number}", f"a second rule for {rule.type} {rule.event}"))
        seen.add((rule.type, rule.event))
        for name in ("properties", "traits", "context"):
            wanted = getattr(rule, name)
            if wanted is not None:
                faults += [
                    Fault(f"/rules/{number}/{name}{fault.pointer}", fault.detail)
                    for fault in schema.faults(wanted) or special.faults(wanted)
                ]
    return faults


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join(f"/{token(part)}" for part in location)
