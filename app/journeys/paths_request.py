"""What one can ask of paths; pure."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.match import Match

Occurrence = Literal["first", "last", "every"]
MappedLabel = Literal["touchpoint", "stage", "channel", "stage_channel"]

#: What stands between the two halves of a path that is too long to be shown.
CUT = "…"


class Anchor(Frozen):
    """Where paths begin or end: an event, and which of a person's."""

    match: Match
    occurrence: Occurrence = "first"


def _anchor(value: object) -> object:
    if isinstance(value, Match) or (isinstance(value, dict) and "match" not in value):
        return {"match": value}
    return value


class Property(Frozen):
    """A part of a label that is the value of a property."""

    prop: Annotated[str, Field(min_length=1, max_length=300)]


class Replace(Frozen):
    """A rewriting of labels: what fits the pattern (RE2) becomes `by`, `\\1` its first group."""

    pattern: Annotated[str, Field(min_length=1, max_length=500)]
    by: Annotated[str, Field(max_length=200)]

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.pattern!r} is no regular expression: {error}") from None
        return self


def parts(value: Any) -> Any:
    """Take one part of a label for a list of one."""
    return value if isinstance(value, list | tuple) else (value,)


class PathsChoices(Frozen):
    """The paths people take from a `start`, to an `end`, between both, or from their first event.

    The anchor is step 0; `max_depth` counts from it, and a path between two anchors that is longer
    is cut in the middle. `label` names the events: by their name, by properties, or by what the
    `journey` maps them to; several parts make one label. Events without one take no part.
    `collapse` makes neighbours with one label one step. `session_gap` cuts a person's events into
    sessions, each with paths of its own; `window` is counted from the anchor, its end included.

    A path has ended when its window, its session or `inactivity` is over; until then it is in
    progress. `min_share` and `top_variants` bound the routes that are listed, `top_n` the labels
    of a step, `max_nodes` those of the graph; all else is in `other`. `range` selects anchors.
    """

    start: Annotated[Anchor | None, BeforeValidator(_anchor)] = None
    end: Annotated[Anchor | None, BeforeValidator(_anchor)] = None
    label: Annotated[
        tuple[Literal["event"] | MappedLabel | Property, ...],
        BeforeValidator(parts),
        Field(min_length=1, max_length=4),
    ] = ("event",)
    replace: tuple[Replace, ...] = Field(default=(), max_length=50)
    universe: Match | None = None
    collapse: bool = True
    max_depth: int | None = Field(default=5, ge=1, le=100)
    session_gap: Duration | None = None
    window: Duration | None = None
    inactivity: Duration | None = None
    min_share: float = Field(default=0, ge=0, le=1)
    top_n: int = Field(default=12, ge=1, le=200)
    top_variants: int = Field(default=50, ge=1, le=5_000)
    max_nodes: int = Field(default=40, ge=1, le=500)
    range: TimeRange = TimeRange()


class PathsRequest(PathsChoices):
    """Paths to find, with the journey that maps events to labels, where these need one."""

    journey: Journey | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        mapped = [part for part in self.label if isinstance(part, str) and part != "event"]
        if mapped and self.journey is None:
            raise ValueError(f"/label: {mapped[0]} needs a journey that maps events to it")
        return self
