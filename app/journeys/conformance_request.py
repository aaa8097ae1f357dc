"""What one can ask of conformance; pure."""

from typing import Self

from pydantic import Field, model_validator

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import TimeRange


class ConformanceQuery(Frozen):
    """How people's ways through a journey differ from its target.

    `range` selects ways by when they began. Of the deviations, the `top` most frequent.
    """

    journey: Journey
    range: TimeRange = TimeRange()
    top: int = Field(default=50, ge=1, le=500)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.journey.target is None:
            raise ValueError("/journey: it has no target to compare with")
        return self
