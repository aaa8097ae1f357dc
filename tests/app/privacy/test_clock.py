"""The clock of requests (research/consent.md section 3, 67 and 68)."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.errors import PrivacyRequestInvalid, PrivacyRequestState
from app.privacy import clock, requests
from app.privacy.clock import CCPA, GDPR, Calendar
from app.privacy.tables import PrivacyRequest
from app.settings import Settings
from app.suppression import gate

GOOD_FRIDAY = date(2027, 3, 26)
EASTER_MONDAY = date(2027, 3, 29)


@pytest.mark.parametrize(
    ("received", "last", "holidays"),
    [
        (date(2027, 1, 31), date(2027, 3, 1), ()),  # 28 February is a Sunday
        (date(2027, 3, 5), date(2027, 4, 5), ()),
        (date(2027, 8, 31), date(2027, 9, 30), ()),
        (date(2027, 2, 26), date(2027, 3, 26), ()),
        (date(2027, 2, 26), date(2027, 3, 29), (GOOD_FRIDAY,)),
        (date(2027, 2, 26), date(2027, 3, 30), (GOOD_FRIDAY, EASTER_MONDAY)),
        (date(2028, 1, 31), date(2028, 2, 29), ()),
        (date(2027, 12, 15), date(2028, 1, 17), ()),  # 15 January 2028 is a Saturday
    ],
)
def test_67_a_month_ends_on_the_same_date_or_the_last_day_and_on_a_working_day(
    received: date, last: date, holidays: tuple[date, ...]
) -> None:
    where = Calendar(UTC, frozenset(holidays))
    at = datetime(received.year, received.month, received.day, 15, tzinfo=UTC)
    due = clock.due(at, GDPR, where)
    assert clock.last_day(due, where) == last
    assert due == datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=1)


def test_67_the_day_of_receipt_is_that_of_the_place() -> None:
    at = datetime(2027, 3, 31, 22, 30, tzinfo=UTC)  # the first of April in Paris
    paris = Calendar(ZoneInfo("Europe/Paris"))
    assert clock.last_day(clock.due(at, GDPR, Calendar(UTC)), Calendar(UTC)) == date(2027, 4, 30)
    assert clock.last_day(clock.due(at, GDPR, paris), paris) == date(2027, 5, 3)


def test_67_california_counts_days() -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    assert clock.last_day(clock.due(at, CCPA, Calendar(UTC)), Calendar(UTC)) == date(2027, 2, 15)
    longer = clock.due(at, CCPA, Calendar(UTC), extended=True)
    assert clock.last_day(longer, Calendar(UTC)) == date(2027, 4, 1)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from([1, 3]))
def test_67_a_month_is_never_shorter_than_it_is_nor_longer_than_a_weekend_more(
    day: date, months: int
) -> None:
    later = clock.months_later(day, months)
    assert later.day == day.day or (later + timedelta(days=1)).day == 1
    last = clock.working_day(later, ())
    assert last.weekday() < 5
    assert timedelta(0) <= last - later <= timedelta(days=2)


@pytest.fixture
def opened(session: Session, settings: Settings) -> PrivacyRequest:
    gate.use(settings)
    return requests.open_(
        session,
        settings,
        kind="access",
        identifiers=[("email", "ada@example.org")],
        by="test",
        now=datetime(2027, 3, 5, tzinfo=UTC),
    )


def extend(session: Session, request: PrivacyRequest, settings: Settings, at: datetime,
           reason: str = "many places") -> None:  # fmt: skip
    requests.extend(session, request, settings, reason=reason, by="test", now=at)


def test_68_an_extension_is_asked_within_the_time_with_a_reason_and_once(
    session: Session, settings: Settings, opened: PrivacyRequest
) -> None:
    after = datetime(2027, 4, 6, tzinfo=UTC)
    with pytest.raises(PrivacyRequestState):
        extend(session, opened, settings, after)
    with pytest.raises(PrivacyRequestInvalid):
        extend(session, opened, settings, datetime(2027, 4, 5, tzinfo=UTC), reason=" ")
    assert not opened.extended
    extend(session, opened, settings, after - timedelta(microseconds=1))
    where = requests.working_days(settings)
    assert clock.last_day(opened.due_at, where) == date(2027, 6, 7)  # 5 June is a Saturday
    assert requests.events(session, opened.id)[-1].details == {"reason": "many places"}
    with pytest.raises(PrivacyRequestState):
        extend(session, opened, settings, datetime(2027, 3, 6, tzinfo=UTC))


def test_68_holidays_come_from_the_setting(session: Session, settings: Settings) -> None:
    gate.use(settings)
    own = settings.model_copy(update={"holidays": "2027-04-05, 2027-04-06"})
    made = requests.open_(
        session, own, kind="access", identifiers=[("email", "bob@example.org")], by="test",
        now=datetime(2027, 3, 5, tzinfo=UTC),
    )  # fmt: skip
    assert clock.last_day(made.due_at, requests.working_days(own)) == date(2027, 4, 7)
    for wrong in ("tomorrow", "2027-13-45", "2027-02-29,"):
        with pytest.raises(ValueError, match="holidays"):
            Settings(holidays=wrong)
    for zone in ("Europe/Atlantis", "../../etc/passwd", " "):
        with pytest.raises(ValueError, match="privacy_time_zone"):
            Settings(privacy_time_zone=zone)
    # As in the environment, what is empty is not set.
    assert Settings(privacy_time_zone="").privacy_time_zone == Settings().privacy_time_zone
