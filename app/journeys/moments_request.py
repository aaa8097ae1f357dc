"""What one can ask of moments of truth; pure."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from app.journeys.definition import Frozen, Identifier, Journey
from app.journeys.friction_request import Share
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.least import LEAST
from app.journeys.match import Match
from app.journeys.survey import Survey

MONTH = timedelta(days=30)
#: What counts as a good answer and as a bad one, on a scale of the instrument's usual length:
#: promoters and detractors, the two best and the two worst of five, the same thirds of seven; the
#: best and the worst two fifths of sentiment, yes and no.
GOOD_BAD = {
    "nps": (9.0, 6.0), "csat": (4.0, 2.0), "ces": (2.0, 5.0), "sentiment": (0.2, -0.2),
    "fcr": (1.0, 0.0),
}  # fmt: skip


class Reading(Frozen):
    """How a visit of a touchpoint went: well or badly.

    By events during it (`good`, `bad`), by the answer to a `survey` about it, or by time: well is
    whoever went on no later than `late_after`. Of all `touchpoints` where none are named. An event
    that fits both is bad; of several readings of a visit the first counts.
    """

    touchpoints: tuple[Identifier, ...] = Field(default=(), max_length=200)
    good: Match | None = None
    bad: Match | None = None
    survey: Survey | None = None
    late_after: Duration | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        events = self.good is not None and self.bad is not None
        partly = (self.good is None) != (self.bad is None)
        if partly or events + (self.survey is not None) + (self.late_after is not None) != 1:
            raise ValueError("/readings: give good and bad, or a survey, or late_after")
        if self.survey is not None and self.survey.scale is not None:
            raise ValueError("/readings: good and bad answers are known of the usual scales alone")
        return self


class MomentsChoices(Frozen):
    """Which touchpoints decide: where a bad visit is followed by another outcome than a good one.

    `outcome` is what should follow, an arrival at the journey's last stage where none is given,
    within `window` of time zero: the reading itself, or for `late_after` when that is over. Who
    already had the outcome is left out. Touchpoints of a smaller `reach` (a share of the journey's
    people), or with fewer than `least` good or bad visits, are not tested.
    """

    range: TimeRange = TimeRange()
    outcome: Match | None = None
    readings: tuple[Reading, ...] = Field(min_length=1, max_length=10)
    window: Duration = MONTH
    reach: Share = 0.01
    least: Annotated[int, Field(ge=2, le=1_000_000)] = LEAST
    level: Annotated[float, Field(gt=0, lt=1)] = 0.05


class MomentsQuery(MomentsChoices):
    """Moments of truth of a journey."""

    journey: Journey

    @model_validator(mode="after")
    def _known(self) -> Self:
        ids = {point.id for point in self.journey.touchpoints}
        for number, reading in enumerate(self.readings):
            unknown = sorted(set(reading.touchpoints) - ids)
            if unknown:
                raise ValueError(f"/readings/{number}/touchpoints: unknown {', '.join(unknown)}")
        return self
