"""Days, weeks and months of a place's calendar, as instants; pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

Unit = Literal["day", "week", "month"]

#: Intervals of one answer: five years of days, and a table that can still be read by a program.
MOST = 2_000


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not known, a path, or a folder
        raise ValueError(f"{name!r} is no time zone, like Europe/Paris") from None
    return name


Zone = Annotated[str, Field(max_length=100), AfterValidator(_zone)]


def starts(unit: Unit, zone: str, first: datetime, last: datetime) -> list[datetime]:
    """Return where each interval that meets [first, last] begins, and where the last one ends.

    Weeks begin on Monday (ISO 8601). A day on which clocks change has 23 or 25 hours. Raises
    ValueError for more than MOST intervals.
    """
    place = ZoneInfo(zone)
    here = _begin(unit, first.astimezone(place).date())
    found: list[datetime] = []
    while not found or found[-1] <= last:
        if len(found) > MOST:
            raise ValueError(f"more than {MOST} intervals; ask for a shorter range or longer ones")
        found.append(datetime(here.year, here.month, here.day, tzinfo=place).astimezone(UTC))
        here = _next(unit, here)
    return found if len(found) > 1 else [*found, found[0]]


def _begin(unit: Unit, day: date) -> date:
    if unit == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if unit == "week" else day


def _next(unit: Unit, day: date) -> date:
    if unit == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if unit == "week" else 1)
