"""Reads birth dates in the ways people write them: PURE."""

import re

from identity.letters import digits, words

_PLACEHOLDER_DATES = frozenset(
    (
        "1900-01-01", "1970-01-01", "1901-01-01", "1899-12-30", "1899-12-31", "1800-01-01",
        "1753-01-01", "1601-01-01", "1000-01-01", "1111-11-11",
    )
)  # fmt: skip
#: Where a year has two digits, or cannot be, the century ends here.
_LATEST_BIRTH = 2030
# Files of people long dead are resolved too; what is older is no year.
_EARLIEST_BIRTH = 1000
# Of digits alone the year comes first only where it can be somebody's who lives.
_EARLIEST_COMPACT = 1800
# Years that stand for none where nothing else is said.
_PLACEHOLDER_YEARS = frozenset((1000, 1111, 1800, 1899, 1900, 1901))
#: How names of months begin in the languages of Western Europe, without accents.
_MONTHS = {
    beginning: number
    for number, month in enumerate(
        (
            "jan ene gen", "feb fev", "mar mrt", "apr avr abr", "may mai mag mei", "jun juin giu",
            "jul juil lug", "aug aou ago", "sep set", "oct okt ott out", "nov", "dec dez dic",
        ),
        1,
    )
    for beginning in month.split()
}  # fmt: skip
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?")
_LOCAL = re.compile(r"(\d{1,2})[-/. ](\d{1,2})[-/. ](\d{4}|\d{2})(?:[T ].*)?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_COMPACT_LOCAL = re.compile(r"(\d{1,2})(\d{2})(\d{4})")
_YEAR = re.compile(r"(?:\d{1,2}[-/.])?(\d{4})|(\d{4})[-/.]\d{1,2}")
_DIGITS_AND_LETTERS = re.compile(r"\d+|[a-z]+")


def birth_date(text: str) -> str:
    """Write a date as ISO. Where day and month could be either, the day comes first.

    A date written year first is kept even when no calendar holds it (1916-00-17): it is a typing
    error of a real one, and evidence as such (Febrl 3 has 35 of 5,000). Months may be named as
    Western Europe does: 14 mai 1963, May 14, 1963. Of a year alone, or a year and a month, the
    year is kept: 1963.
    """
    text = digits(text).strip()
    if match := _YEAR.fullmatch(text):
        year = int(match[1] or match[2])
        known = _EARLIEST_BIRTH <= year <= _LATEST_BIRTH and year not in _PLACEHOLDER_YEARS
        return str(year) if known else ""
    if match := _ISO.fullmatch(text) or _COMPACT.fullmatch(text):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
        if "-" in text or not text.isdigit() or year >= _EARLIEST_COMPACT:
            return _born(year, month, day)
    if match := _LOCAL.fullmatch(text) or _COMPACT_LOCAL.fullmatch(text):
        day, month, year = int(match[1]), int(match[2]), int(match[3])
        return _born_then(day, month, year)
    return _month_named(text)


def generation_apart(one: str, other: str) -> bool:
    """Say whether two whole dates may be parent's and child's: by 16 to 50 years, and the day.

    A digit of the year that is wrong leaves the day as it is.
    """
    return one[4:] != other[4:] and 16 <= abs(int(one[:4]) - int(other[:4])) <= 50


def _born_then(day: int, month: int, year: int) -> str:
    """Write a date that has to be one of the calendar, whose year may have two digits."""
    if month > 12 >= day:
        day, month = month, day
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ""
    year += 0 if year > 99 else 1900 if year > _LATEST_BIRTH % 100 else 2000
    return _born(year, month, day)


def _born(year: int, month: int, day: int) -> str:
    # Nobody is born in 2070: programs that read two digits as POSIX says take 69 and less for 20xx.
    year -= 100 if _LATEST_BIRTH < year <= _LATEST_BIRTH + 70 else 0
    date = f"{year:04d}-{month:02d}-{day:02d}"
    known = _EARLIEST_BIRTH <= year <= _LATEST_BIRTH and date not in _PLACEHOLDER_DATES
    return date if known else ""


def _month_named(text: str) -> str:
    """Read `Tue, 14 May 1963`, `May 14, 1963`, `14-mai-63`, `1963-May-14`."""
    parts = _DIGITS_AND_LETTERS.findall(words(text))
    months = [_MONTHS.get(part[:4]) or _MONTHS.get(part[:3]) for part in parts]
    numbers = [part for part in parts if part.isdigit()][:2]
    month = next((n for n in reversed(months) if n), None)  # in French mar. is Tuesday too
    if month is None or len(numbers) < 2 or max(map(len, numbers)) > 4:
        return ""
    day, year = sorted(numbers, key=len) if len(numbers[0]) > 2 else numbers
    return _born_then(int(day), month, int(year)) if len(day) <= 2 else ""
