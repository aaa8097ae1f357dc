"""Times as files write them: read, or refused with the reason; never guessed."""

from datetime import UTC, date, datetime, timedelta

import pytest

from app.errors import ImportFailed
from app.imports.dates import Order, reader

DAY = datetime(2019, 10, 1, tzinfo=UTC)
NOON = DAY + timedelta(hours=12)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2019-10-01T12:00:00Z", NOON),
        ("2019-10-01 12:00:00", NOON),
        ("2019-10-01 12:00:00 UTC", NOON),
        ("2019-10-01 12:00:00.5 UTC", NOON + timedelta(milliseconds=500)),
        ("2019-10-01 14:00:00+02:00", NOON),
        ("2019-10-01 14:00:00 +0200", NOON),
        ("2019-10-01", DAY),
        ("20191001", DAY),
        ("2019/10/01 12:00", NOON),
        ("2019.10.1 12:00:00", NOON),
        ("13/10/2019 12:00", NOON + timedelta(days=12)),
        ("10/13/2019 12:00 PM", NOON + timedelta(days=12)),
        ("10/10/2019", DAY + timedelta(days=9)),
        ("01.10.2019 12:00:00,250", NOON + timedelta(milliseconds=250)),
        ("13-10-2019 12:00:00.000", NOON + timedelta(days=12)),
        ("10/13/2019 12:05 AM", DAY + timedelta(days=12, minutes=5)),
        ("1 October 2019 12:00", NOON),
        ("01-Oct-2019 12:00:00", NOON),
        ("Oct 1, 2019, 12:00 p.m.", NOON),
        ("Tue, 01 Oct 2019 14:00:00 +0200", NOON),
        ("1569931200", NOON),
        (1569931200, NOON),
        (1569931200.5, NOON + timedelta(milliseconds=500)),
        ("1569931200123", NOON + timedelta(milliseconds=123)),
        (1569931200123456, NOON + timedelta(microseconds=123456)),
        ("1569931200123456789", NOON + timedelta(microseconds=123456)),
        (datetime(2019, 10, 1, 12), NOON),
        (date(2019, 10, 1), DAY),
    ],
)
def test_common_forms_are_read(value: object, read: datetime) -> None:
    assert reader()(value) == read


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("01/10/2019 12:00", "--date-order"),
        ("02-01-2018 13:53:00.000", "--date-order"),
        ("yesterday", "--time-format"),
        ("01/10/19", "--time-format"),
        ("12:00", "--time-format"),
        (43739.5, "too small a number"),
        (20191001, "too small a number"),
        ("3", "--time-format"),
        ("31/02/2019", "no day or hour"),
        ("10.13.2019", "no day or hour"),
        ("13/10/2019 13:00 PM", "AM and PM"),
        ("1 Brumaire 2019", "month"),
        (True, "neither text nor a number"),
        ({}, "neither text nor a number"),
        (float("nan"), "no time"),
        (float("inf"), "no time"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_reason(value: object, why: str) -> None:
    said = reader()(value)
    assert isinstance(said, str)
    assert why in said


@pytest.mark.parametrize(
    ("order", "read"),
    [("day-first", NOON), ("month-first", datetime(2019, 1, 10, 12, tzinfo=UTC))],
)
def test_who_says_the_order_has_it_read_so(order: Order, read: datetime) -> None:
    assert reader(order=order)("01/10/2019 12:00") == read
    assert isinstance(reader(order="day-first")("10/13/2019"), str)


def test_a_format_that_is_said_is_the_only_one() -> None:
    read = reader("%d/%m/%y %H:%M")
    assert read("01/10/19 12:00") == NOON
    assert read("2019-10-01 12:00") == "not written as %d/%m/%y %H:%M"
    assert reader("%d/%m/%y %H:%M %z")("01/10/19 14:00 +0200") == NOON
    assert reader("seconds")("3") == datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)
    assert reader("milliseconds")(1500) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert reader("seconds")("soon") == "no number of seconds"
    for wrong in ("fortnights", "%Q", "%", "%H:%M"):
        with pytest.raises(ImportFailed):
            reader(wrong)
