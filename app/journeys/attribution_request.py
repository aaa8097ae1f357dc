"""What one can ask of attribution; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.match import Match
from app.journeys.paths_request import MappedLabel, Property, parts

Model = Literal[
    "first",
    "last",
    "last_non_direct",
    "linear",
    "position",
    "j_shaped",
    "inverse_j",
    "time_decay",
    "markov",
    "shapley",
    "shapley_rate",
]
MODELS: tuple[Model, ...] = (
    "first",
    "last",
    "last_non_direct",
    "linear",
    "position",
    "j_shaped",
    "inverse_j",
    "time_decay",
    "markov",
    "shapley",
    "shapley_rate",
)

LOOKBACK = timedelta(days=30)
HALF_LIFE = timedelta(days=7)


class AttributionChoices(Frozen):
    """Which touches led to the conversions, by several models side by side.

    A touch is an event that fits `touches` (any, without it) and has a `label`; a conversion is no
    touch. A person's path to a conversion is their touches since the conversion before it, in the
    `lookback` before it, its end included. Touches that follow each other within the look-back and
    lead to no conversion are a lost path once the look-back after the last of them is over, and
    in progress until then. `range` selects conversions, and lost paths by their last touch.

    `value` is the property of a conversion that says what it is worth. `direct` are the labels
    that `last_non_direct` passes over. Labels beyond the `max_labels` most frequent are in one,
    `other`. Of `models`, all by default.
    """

    conversion: Match
    touches: Match | None = None
    label: Annotated[
        tuple[Literal["event"] | MappedLabel | Property, ...],
        BeforeValidator(parts),
        Field(min_length=1, max_length=4),
    ] = ("channel",)
    lookback: Duration = LOOKBACK
    value: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    models: Annotated[tuple[Model, ...], Field(min_length=1, max_length=len(MODELS))] = MODELS
    half_life: Annotated[Duration, Field(gt=timedelta(0))] = HALF_LIFE
    direct: tuple[str, ...] = Field(default=("direct",), max_length=20)
    max_labels: int = Field(default=50, ge=1, le=100)
    range: TimeRange = TimeRange()


class AttributionQuery(AttributionChoices):
    """Attribution, with the journey that maps events to labels, where these need one."""

    journey: Journey | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        mapped = [part for part in self.label if isinstance(part, str) and part != "event"]
        if mapped and self.journey is None:
            raise ValueError(f"/label: {mapped[0]} needs a journey that maps events to it")
        return self
