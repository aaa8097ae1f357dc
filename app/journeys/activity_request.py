"""What one can ask of people over time: retention, lifecycle, stickiness; pure."""

from typing import Literal, Self

from pydantic import Field, model_validator

from app.journeys.calendars import Unit, Zone
from app.journeys.definition import Frozen
from app.journeys.funnel_request import TimeRange
from app.journeys.match import Match


class RetentionQuery(Frozen):
    """Of those who start, how many come back in the first, second, third interval after.

    `start` is what makes somebody one of a cohort, `back` (the same, if not said) what counts as
    coming back. `mode` first_time puts each person into the cohort of the first `start` of their
    life, recurring into that of every interval in which they do it. `windows` calendar counts
    whole days, weeks or months of `zone`; rolling counts stretches of 24 hours (of seven days,
    for week) from each person's own start. `count` on_or_after counts who comes back then or
    later. `range` selects starts.
    """

    start: Match
    back: Match | None = None
    unit: Unit = "week"
    intervals: int = Field(default=12, ge=1, le=120)
    mode: Literal["first_time", "recurring"] = "first_time"
    windows: Literal["calendar", "rolling"] = "calendar"
    count: Literal["on", "on_or_after"] = "on"
    zone: Zone = "UTC"
    range: TimeRange = TimeRange()

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.windows == "rolling" and self.mode == "recurring":
            raise ValueError("/windows: rolling windows need one start of each person: first_time")
        if self.windows == "rolling" and self.unit == "month":
            raise ValueError("/windows: a month has no fixed length; take day or week")
        return self


class LifecycleQuery(Frozen):
    """Who is new, comes again, comes back, or stays away, interval by interval.

    `activity` is what makes somebody active. `range` selects intervals; who is new is known from
    all events before it too.
    """

    activity: Match
    unit: Unit = "month"
    zone: Zone = "UTC"
    range: TimeRange = TimeRange()


class StickinessQuery(Frozen):
    """In how many intervals of the range people are active."""

    activity: Match
    unit: Unit = "day"
    zone: Zone = "UTC"
    range: TimeRange = TimeRange()
