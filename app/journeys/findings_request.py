"""What one can ask of findings; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.journeys.calendars import Zone
from app.journeys.definition import Frozen, Journey
from app.journeys.friction_request import Share
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.least import LEAST
from app.journeys.match import Match
from app.journeys.moments_request import MONTH, Reading
from app.journeys.survey import Survey

Positive = Annotated[Duration, Field(gt=timedelta(0))]


class FindingsChoices(Frozen):
    """What is worth knowing of a journey, or of what leads from an `entry` to an `outcome`.

    `entry` and `outcome` are the journey's first and last stage where they are not given. `before`
    is the period that `range` is compared with; of a range with both ends, the one of the same
    length before it. `window` is how long after the entry the outcome counts, `observe` how long
    what precedes it is looked at. `failure`, `surveys` and `readings` are those of friction, of the
    voice of the customer and of moments of truth, which is looked for where they are given.

    A share is too much above `threshold`. Groups of fewer than `least` people are not tested; all
    tests are corrected together, and a finding has a q below `level`. Of each kind the `each`
    weightiest are told.
    """

    entry: Match | None = None
    outcome: Match | None = None
    range: TimeRange = TimeRange()
    before: TimeRange | None = None
    window: Positive = MONTH
    observe: Positive = timedelta(days=1)
    failure: Match | None = None
    surveys: tuple[Survey, ...] = Field(default=(), max_length=20)
    readings: tuple[Reading, ...] = Field(default=(), max_length=10)
    zone: Zone = "UTC"
    holidays: Literal["FR"] | None = None
    threshold: Share = 0.1
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05
    least: int = Field(default=LEAST, ge=5, le=100_000)
    each: int = Field(default=3, ge=1, le=50)


class FindingsQuery(FindingsChoices):
    """Findings of a saved journey, by the key and version that other questions may name it by."""

    journey: Journey | None = None
    called: str | None = Field(default=None, max_length=200)
    purpose: str = Field(max_length=100)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.journey is None and (self.entry is None or self.outcome is None):
            raise ValueError("/journey: without one, entry and outcome say what is looked at")
        return self
