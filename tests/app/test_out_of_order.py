"""What a browser said before is not its last word, in whichever order it arrives."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.db import Sessions
from app.events import append as events
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory

NOW = datetime.now(UTC)
WHO = "anonymous_id", "browser"


def send(
    session: Session,
    memory: Memory,
    number: int,
    given: bool,
    at: datetime,
    *,
    source: str = "web",
    who: str = WHO[1],
) -> None:
    """An event that says so about ads, received now."""
    raw = to_message({
        "type": "track", "event": "Seen", "anonymousId": who, "messageId": f"m-{number}",
        "timestamp": at.isoformat(),
        "context": {"consent": {"categoryPreferences": {"ads.share": given}}},
    })  # fmt: skip
    envelope = read(raw, received_at=NOW, largest=10_000)
    assert isinstance(envelope, Envelope)
    settings = sources.settings_of(sources.find(session, source))
    events.append(session, [Item(settings, envelope, NOW)], memory)


def standing(sessions: Sessions) -> str:
    with sessions() as session:
        rows = consent.history(session, [WHO], purpose="ads.share")
        found = consent.standings(rows, at=NOW, known_at=None, purposes={})
    return next(one.standing for one in found.values())


@pytest.mark.usefixtures("write_key")
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)], ids=["in_order", "retried"])
@pytest.mark.parametrize("servers", [1, 2])
def test_a_yes_that_is_sent_again_after_a_no_that_said_nothing_new_is_not_the_last_word(
    sessions: Sessions, order: tuple[int, ...], servers: int
) -> None:
    said = [(False, 40), (True, 20), (False, 10)]
    memories = [Memory() for _ in range(servers)]
    for number in order:
        given, seconds = said[number]
        with sessions.begin() as session:
            memory = memories[number % servers]
            send(session, memory, number, given, NOW - timedelta(seconds=seconds))
    assert standing(sessions) != "given"


@pytest.mark.usefixtures("write_key")
@pytest.mark.parametrize("servers", [1, 2])
def test_who_says_yes_again_after_one_that_was_overtaken_is_heard(
    sessions: Sessions, servers: int
) -> None:
    memories = [Memory() for _ in range(servers)]
    said = [(False, 40), (False, 10), (True, 20), (True, 1), (True, 0)]
    for number, (given, seconds) in enumerate(said):
        with sessions.begin() as session:
            memory = memories[number % servers]
            send(session, memory, number, given, NOW - timedelta(seconds=seconds))
    assert standing(sessions) == "given"


@pytest.mark.usefixtures("write_key")
def test_a_yes_that_another_server_gets_a_second_late_is_not_the_last_word(
    sessions: Sessions,
) -> None:
    one, other = Memory(), Memory()
    for number, (memory, given, ms) in enumerate(
        [(one, False, 40_000), (one, False, 500), (other, True, 1_500)]
    ):
        with sessions.begin() as session:
            send(session, memory, number, given, NOW - timedelta(milliseconds=ms))
    assert standing(sessions) != "given"


def test_a_no_that_left_no_event_is_said_again_by_the_server_that_heard_it(
    sessions: Sessions,
) -> None:
    """A source that collects for the refused purpose stores nothing that says it."""
    with sessions.begin() as session:
        sources.add(session, "strict", collection_purpose="ads.share")
    one, other = Memory(), Memory()
    said = [(one, False, 40), (one, False, 10), (other, True, 20), (other, True, 19)]
    for number, (memory, given, seconds) in enumerate(said):
        with sessions.begin() as session:
            send(session, memory, number, given, NOW - timedelta(seconds=seconds), source="strict")
    for number in (5, 6):  # an event of anybody is enough, and once is
        with sessions.begin() as session:
            send(session, one, number, True, NOW, source="strict", who="somebody else")
    assert standing(sessions) != "given"
    with sessions() as session:
        records = consent.history(session, [WHO], purpose="ads.share")
    assert [row.state for row in records] == ["refused", "given", "withdrawn"]
    with sessions.begin() as session:  # and who says yes after it is heard
        send(session, other, 7, True, NOW - timedelta(seconds=1), source="strict")
    assert standing(sessions) == "given"


@pytest.mark.usefixtures("write_key")
def test_a_clock_that_is_ahead_says_nothing_again_after_what_is_said_later(
    sessions: Sessions,
) -> None:
    memory = Memory()
    for number, minutes in enumerate((-1, 60)):  # refuses, and does so again by a wrong clock
        with sessions.begin() as session:
            send(session, memory, number, False, NOW + timedelta(minutes=minutes))
    with sessions.begin() as session:
        now = datetime.now(UTC)
        agreed = consent.Choice(*WHO, "ads.share", "given", now, "client:desk")
        consent.record(session, [agreed], received_at=now)
    with sessions.begin() as session:
        send(session, memory, 7, True, NOW, who="somebody else")
    with sessions() as session:
        rows = consent.history(session, [WHO], purpose="ads.share")
    assert [row.state for row in rows] == ["refused", "given"]
