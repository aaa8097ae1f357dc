"""Days, weeks and months of a place's calendar, as instants; pure."""

from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
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
    OverflowError beyond the years 1 to 9999.
    """
    here = _begin(unit, _day(zone, first))
    found: list[datetime] = []
    while not found or found[-1] <= last:
        start = _midnight(zone, here)
        if not found or start > found[-1]:  # Samoa had no 30 December 2011
            found.append(start)
        here = _moved(unit, here, 1)
    return found if len(found) > 1 else [*found, found[0]]


def shifted(unit: Unit, zone: str, moment: datetime, by: int) -> datetime:
    """Return where the interval begins that is so many after the one of a moment.

    Raises OverflowError beyond the years 1 to 9999.
    """
    return _midnight(zone, _moved(unit, _begin(unit, _day(zone, moment)), by))


def _day(zone: str, moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def _midnight(zone: str, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _begin(unit: Unit, day: date) -> date:
    if unit == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if unit == "week" else day


def _moved(unit: Unit, day: date, by: int) -> date:
    if unit != "month":
        return day + timedelta(days=by * (7 if unit == "week" else 1))
    year, month = divmod(day.year * 12 + day.month - 1 + by, 12)
    if not MINYEAR <= year <= MAXYEAR:
        raise OverflowError(f"there is no year {year}")
    return date(year, month + 1, 1)
