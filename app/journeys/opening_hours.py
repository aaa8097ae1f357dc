"""Opening hours: how much of a stretch of time a service was open; pure."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, model_validator

from app.journeys.definition import Frozen
from app.journeys.predicate import microseconds

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
#: No event of interest is older, and each year costs some hundred rows.
FIRST = date(1990, 1, 1)
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEK: tuple[Day, ...] = DAYS[:5]


@cache
def _zones() -> frozenset[str]:
    """Every zone there is; asking for them reads a folder."""
    return frozenset(available_timezones())


def _clock(value: object) -> object:
    """24:00 is the end of a day."""
    return time.max if value == "24:00" else value


class OpeningHours(Frozen):
    """When a service is open, on the clock of its zone: days, hours, and dates on which it is not.

    Hours are `[from, to)`. Where a clock is put forward or back the real time counts: a day that
    is an hour shorter is open for an hour less when that hour was an open one.
    """

    tz: str = "Europe/Paris"
    days: tuple[Day, ...] = Field(default=WEEK, min_length=1, max_length=7)
    hours: tuple[
        tuple[Annotated[time, BeforeValidator(_clock)], Annotated[time, BeforeValidator(_clock)]],
        ...,
    ] = Field(default=((time(9), time(18)),), min_length=1, max_length=5)
    closed: tuple[date, ...] = Field(default=(), max_length=2000)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.tz not in _zones():
            raise ValueError(f"/tz: {self.tz!r} is no time zone")
        flat = [moment for pair in self.hours for moment in pair]
        if any(moment.tzinfo is not None for moment in flat):
            raise ValueError("/hours: times are those of tz, without a zone of their own")
        if any(one >= two for one, two in pairwise(flat)):
            raise ValueError("/hours: in order, each from before to, without overlap")
        return self

    def stretches(self, until: datetime) -> list[tuple[int, int, int]]:
        """Return every stretch of open time up to a moment: from, to, and open time before it.

        In microseconds, since 1970 and since FIRST. What lies before FIRST is not open.
        """
        zone, closed, days = ZoneInfo(self.tz), set(self.closed), set(self.days)
        found, total, day = [], 0, FIRST
        last = until.astimezone(zone).date()
        while day <= last:
            if DAYS[day.weekday()] in days and day not in closed:
                for opens, closes in self.hours:
                    start, end = _instant(day, opens, zone), _instant(day, closes, zone)
                    if start < end:
                        found.append((start, end, total))
                        total += end - start
            day += timedelta(days=1)
        return found


def _instant(day: date, clock: time, zone: ZoneInfo) -> int:
    """Microseconds since 1970 of a time on a day's clock; one that is skipped is as much later."""
    if clock == time.max:
        day, clock = day + timedelta(days=1), time()
    return microseconds(datetime.combine(day, clock, zone).astimezone(UTC))
