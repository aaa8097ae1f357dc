"""What one can ask of anomalies; pure."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.journeys.calendars import Zone
from app.journeys.definition import Frozen
from app.journeys.funnel_request import TimeRange
from app.journeys.match import Match


class Marker(Frozen):
    """Something that is known to have happened on a day: a release, a campaign, a strike."""

    on: date
    name: str = Field(min_length=1, max_length=200)


class Dimension(Frozen):
    """By what an alert is taken apart: the `source` or name of the `event` (`of`), or a value.

    It is that of a property (`prop`) of the events that are counted, of a `trait` of the people as
    of now, or whether they are in a `segment` of the same purpose now.
    """

    of: Literal["source", "event"] | None = None
    prop: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    trait: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    segment: Annotated[str, Field(min_length=1, max_length=100)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        said = (self.of, self.prop, self.trait, self.segment)
        if sum(part is not None for part in said) != 1:
            raise ValueError("/by: give one of of, prop, trait and segment")
        return self


class AnomaliesQuery(Frozen):
    """On which days or weeks a number is not what it was to be, and when its level changed.

    The number is how many `events` fit `match`, or how many `profiles` have one; with `per`, the
    share of the profiles with `per` that have `match` too. It is held against what the intervals
    before it let expect: their level, the weekday, and the public holidays of `holidays`. An alert
    is outside `confidence` and differs by `least_effect` or more, where at least `floor` is
    expected. `markers` explain what they precede by a week at most; `by` says what alerts are taken
    apart by, of a `count`. `range` selects what is judged.
    """

    match: Match
    count: Literal["events", "profiles"] = "profiles"
    per: Match | None = None
    unit: Literal["day", "week"] = "day"
    zone: Zone = "UTC"
    holidays: Literal["FR"] | None = None
    history: int = Field(default=8, ge=4, le=52, description="Weeks that expectations rest on.")
    confidence: float = Field(default=0.99, ge=0.8, le=0.9999)
    least_effect: float = Field(default=0.1, ge=0, le=10)
    floor: float = Field(default=10, ge=0)
    markers: Annotated[tuple[Marker, ...], Field(max_length=100)] = ()
    by: Annotated[tuple[Dimension, ...], Field(max_length=5)] = ()
    range: TimeRange = TimeRange()

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.per is not None and self.count == "events":
            raise ValueError("/per: a share is of profiles; leave count out")
        if self.per is not None and self.by:
            raise ValueError("/by: a count is taken apart, not a share; leave per or by out")
        return self
