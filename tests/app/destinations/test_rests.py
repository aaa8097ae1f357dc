"""A destination that says it is too much, or that it is away, is left alone: all of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import sqlalchemy as sa

from app.destinations.kind import Outcome
from app.destinations.resting import FIRST_SECONDS, LONGEST_SECONDS, rest
from tests.app.destinations.world import World

PROS = {"trait": "plan", "op": "eq", "value": "pro"}
USERS = [f"u{n}" for n in range(20)]


class Busy:
    """A receiver that answers so; it counts the requests."""

    def __init__(self) -> None:
        self.status, self.headers, self.requests = 200, dict[str, str](), 0

    def deliver(self, people: World, *, passed: bool = False) -> float:
        """Send; return the seconds that the destination rests afterwards."""
        if passed:
            people.now()
        self.requests = 0
        people.deliver(httpx.Client(transport=httpx.MockTransport(self._answer)))
        with people.sessions() as session:
            resting = "SELECT extract(epoch FROM max(not_before) - now()) FROM app.destination"
            return float(session.scalar(sa.text(resting)) or 0)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(self.status, headers=self.headers)


@pytest.fixture
def busy(people: World) -> Busy:
    people.people(*USERS, plan="pro")
    people.segment("pros", PROS)
    people.destination(url="https://crm.example/hook", segments=["pros"])
    return Busy()


def test_without_a_word_how_long_it_rests_twice_as_long_each_time(
    people: World, busy: Busy
) -> None:
    busy.status = 429
    first = busy.deliver(people)
    assert busy.requests == 8, "one batch, and no more"
    assert 8 < first <= 12
    busy.deliver(people)
    assert busy.requests == 0
    busy.status = 503
    second = busy.deliver(people, passed=True)
    assert busy.requests == 8
    assert 18 < second <= 24
    assert 38 < busy.deliver(people, passed=True) <= 48
    busy.status = 200
    assert busy.deliver(people, passed=True) <= 0
    assert busy.requests == 20
    people.people("late", plan="pro")
    busy.status = 503
    assert 8 < busy.deliver(people, passed=True) <= 12, "from the beginning"


def test_it_rests_as_long_as_it_said_in_seconds_or_until_a_date(people: World, busy: Busy) -> None:
    for status in (429, 503):
        busy.status, busy.headers = status, {"retry-after": "2"}
        assert 0 < busy.deliver(people, passed=True) <= 2, (
            "ten seconds are of those who say nothing"
        )
        until = datetime.now(UTC) + timedelta(seconds=300)
        busy.headers = {"retry-after": format_datetime(until, usegmt=True)}
        assert 200 < busy.deliver(people, passed=True) <= 300
        assert busy.requests == 8


def test_what_was_taken_among_it_begins_the_rests_anew_and_they_end_growing() -> None:
    taken, late = Outcome("taken", status=200), Outcome("again", status=503)
    assert rest([taken, taken], 5) == (0.0, 0)
    assert rest([Outcome("again", "ConnectError")], 5) == (0.0, 5)
    pause, row = rest([taken, late], 5)
    assert (row, FIRST_SECONDS <= pause <= 1.2 * FIRST_SECONDS) == (1, True)
    assert LONGEST_SECONDS <= rest([late], 10**6)[0] <= 1.2 * LONGEST_SECONDS
    asked = [Outcome("again", status=429, retry_after_seconds=n) for n in (1.0, 7.0)]
    assert rest([late, *asked], 2) == (7.0, 3)
