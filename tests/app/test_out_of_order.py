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


def send(session: Session, memory: Memory, number: int, given: bool, at: datetime) -> None:
    """An event that says so about ads, received now."""
    raw = to_message({
        "type": "track", "event": "Seen", "anonymousId": WHO[1], "messageId": f"m-{number}",
        "timestamp": at.isoformat(),
        "context": {"consent": {"categoryPreferences": {"ads.share": given}}},
    })  # fmt: skip
    envelope = read(raw, received_at=NOW, largest=10_000)
    assert isinstance(envelope, Envelope)
    source = sources.settings_of(sources.find(session, "web"))
    events.append(session, [Item(source, envelope, NOW)], memory)


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
