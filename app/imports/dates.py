"""Reads the times of files, which are written in more ways than those of SDKs; pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal

from app.errors import ImportFailed
from app.events import times

Order = Literal["day-first", "month-first"]

#: Numbers since 1970, by what `--time-format` calls their unit: how many of them are a second.
UNITS: Mapping[str, int] = {
    "seconds": 1,
    "milliseconds": 1_000,
    "microseconds": 1_000_000,
    "nanoseconds": 1_000_000_000,
}
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_NUMBER = re.compile(r"-?\d{9,19}(\.\d{1,9})?", re.ASCII)
_SHORT = re.compile(r"\d{1,8}", re.ASCII)
#: Smaller numbers are no seconds since 1970 but a day of a spreadsheet, a year, a row.
_SMALLEST = 1e8
_DAY = (
    r"(?:(?P<y>\d{4})([-/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<sign>[-/.])(?P<b>\d{1,2})(?P=sign)(?P<y2>\d{4})"
    r"|(?:[A-Za-z]{3,9},? )?(?P<d3>\d{1,2})[- ](?P<m3>[A-Za-z]{3,9})[- ,]+(?P<y3>\d{4})"
    r"|(?:[A-Za-z]{3,9},? )?(?P<m4>[A-Za-z]{3,9}) (?P<d4>\d{1,2}),? (?P<y4>\d{4}))"
)
_CLOCK = (
    r"(?:(?:T|,? +)(?P<h>\d{1,2}):(?P<min>\d{2})(?::(?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)
_ZONE = r"(?: ?(?:Z|UTC|GMT)?(?P<zone>[+-]\d{2}:?\d{2})?)"
_WRITTEN = re.compile(_DAY + _CLOCK + _ZONE, re.ASCII)

#: What reads a value, or says why it cannot.
Reader = Callable[[object], "datetime | str"]


def reader(form: str | None = None, order: Order | None = None) -> Reader:
    """Return what reads a time as a file writes it, or says why that is not possible.

    Read are ISO 8601; seconds, milliseconds, microseconds and nanoseconds since 1970, told apart
    by their size; year, month, day with `-`, `/` or `.`; day and month before the year, where one
    of them is over 12, dots separate them (as only day-first forms do) or `order` says which comes
    first; English names of months; hours to 24 or with AM and PM; `Z`, `UTC`, `GMT` or an offset.
    Without a zone it is UTC. With `form`, a format of strptime or one of UNITS, only that is read.
    Raises ImportFailed for a form that cannot be one.
    """
    if form is None:
        return lambda value: _common(value, order)
    if form in UNITS:
        return lambda value: _since_1970(value, UNITS[form]) or f"no number of {form}"
    moment = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    try:
        whole = datetime.strptime(moment.strftime(form), form).date() == moment.date()
    except ValueError as error:
        raise ImportFailed(f"--time-format {form}: {error}") from error
    if not whole:
        raise ImportFailed(
            f"--time-format {form}: gives no year, month and day, and is none of {', '.join(UNITS)}"
        )
    return lambda value: _formed(value, form)


def order_of(values: Iterable[object]) -> Order | None:
    """Return what comes first in days such as 13/10/2019, as these values show.

    None where none shows it, or some the one and some the other.
    """
    found: set[Order] = set()
    for value in values:
        part = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
        if part is None or part["a"] is None:
            continue
        if int(part["a"]) > 12:
            found.add("day-first")
        elif int(part["b"]) > 12:
            found.add("month-first")
    return found.pop() if len(found) == 1 else None


def _formed(value: object, form: str) -> datetime | str:
    if isinstance(value, date):
        return _common(value, None)
    try:
        found = datetime.strptime(str(value).strip(), form)
        return _in_utc(found)
    except (ValueError, OverflowError):
        return f"not written as {form}"


def _since_1970(value: object, per_second: int) -> datetime | None:
    try:
        count = float(value) if isinstance(value, str | int | float) else None
        if count is None or isinstance(value, bool):
            return None
        if isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit()):
            whole, part = divmod(int(value), per_second)  # exact, as a float would not be
            return datetime.fromtimestamp(whole, UTC) + timedelta(
                microseconds=part * 1_000_000 // per_second
            )
        return datetime.fromtimestamp(count / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _common(value: object, order: Order | None) -> datetime | str:
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    if not isinstance(value, str):
        return "neither text nor a number"
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _number(float(text) if "." in text else int(text))
    found = times.read(text)
    if found is not None:
        return found
    read = _written(text, order)
    return _number(int(text)) if isinstance(read, str) and _SHORT.fullmatch(text) else read


def _number(value: float) -> datetime | str:
    size = abs(value)
    if size < _SMALLEST:
        return "too small a number to be seconds since 1970; give --time-format (seconds, if so)"
    unit = "seconds" if size <= 1e11 else "milliseconds" if size <= 1e14 else "microseconds"
    found = _since_1970(value, UNITS["nanoseconds" if size > 1e17 else unit])
    return found if found is not None else "no time since 1970"


def _written(text: str, order: Order | None) -> datetime | str:
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return "in no form that is known; give --time-format"
    part = found.groupdict()
    day, hour = _day(part, order), _hour(part)
    if isinstance(day, str):
        return day
    if hour is None:
        return "an hour that AM and PM do not have"
    minute, second = int(part["min"] or 0), int(part["s"] or 0)
    fraction = int((part["f"] or "0").ljust(6, "0")[:6])
    try:
        return _in_utc(datetime(*day, hour, minute, second, fraction, _zone(part["zone"])))
    except (ValueError, OverflowError):
        return "no day or hour that there is"


def _day(part: Mapping[str, str | None], order: Order | None) -> tuple[int, int, int] | str:
    """Return year, month and day, or why it is not clear which is which."""
    for year, month, day in (("y", "m", "d"), ("y3", "m3", "d3"), ("y4", "m4", "d4")):
        if part[year] is not None:
            named = part[month] or ""
            number = int(named) if named.isdigit() else _month(named)
            if number is None:
                return "of a month whose name is not known; give --time-format"
            return int(part[year] or 0), number, int(part[day] or 0)
    year_, first, second = (int(part[name] or 0) for name in ("y2", "a", "b"))
    if order is None:
        if part["sign"] == "." or first > 12 or first == second:
            order = "day-first"
        elif second > 12:
            order = "month-first"
        else:
            return "either day or month first; say which with --date-order"
    return (year_, second, first) if order == "day-first" else (year_, first, second)


def _hour(part: Mapping[str, str | None]) -> int | None:
    hour, half = int(part["h"] or 0), part["half"]
    if not half:
        return hour
    return hour % 12 + (12 if half in "Pp" else 0) if 1 <= hour <= 12 else None


def _month(name: str) -> int | None:
    said = name.casefold()
    if said == "sept":
        return 9
    fits = [n for n, month in enumerate(_MONTHS, 1) if said in (month, month[:3])]
    return fits[0] if fits else None


def _zone(text: str | None) -> timezone:
    if not text:
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
