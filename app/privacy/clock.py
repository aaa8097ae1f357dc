"""When a request must be answered: calendar months, working days, extensions. No database.

GDPR art. 12(3): one month, two more where needed. How a month is counted says Regulation (EEC,
Euratom) 1182/71, art. 3: it ends with the same date, or with the last day of the month where that
has no such date (2)(c); where it ends on a public holiday, a Sunday or a Saturday, with the next
working day (4). CCPA regulations § 7021: 45 days, 45 more.
"""

import calendar
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

GDPR, CCPA = "gdpr", "ccpa"
REGIMES = (GDPR, CCPA)
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Calendar:
    """Where days begin, and which are no working days beside Saturdays and Sundays."""

    zone: tzinfo
    holidays: frozenset[date] = frozenset()


def due(received_at: datetime, regime: str, where: Calendar, *, extended: bool = False) -> datetime:
    """Return when the answer is due: the end of the last day, as the first moment of the next."""
    received = received_at.astimezone(where.zone).date()
    if regime == CCPA:
        last = received + timedelta(days=90 if extended else 45)
    else:
        last = working_day(months_later(received, 3 if extended else 1), where.holidays)
    return datetime.combine(last + timedelta(days=1), time(), where.zone)


def last_day(due_at: datetime, where: Calendar) -> date:
    """Return the day by whose end the answer is due."""
    return due_at.astimezone(where.zone).date() - timedelta(days=1)


def months_later(day: date, months: int) -> date:
    """Return the same date so many months later, or the last day of a month that has no such date.

    >>> months_later(date(2027, 8, 31), 1)
    datetime.date(2027, 9, 30)
    """
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    longest = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, longest))


def working_day(day: date, holidays: Collection[date]) -> date:
    """Return the day, or the next one that is neither on a weekend nor a holiday."""
    while day.weekday() >= _SATURDAY or day in holidays:
        day += timedelta(days=1)
    return day
