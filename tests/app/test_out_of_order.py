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


@pytest.mark.usefixtures("write_key")
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)], ids=["in_order", "retried"])
def test_a_yes_that_is_sent_again_after_a_no_that_said_nothing_new_is_not_the_last_word(
    sessions: Sessions, order: tuple[int, ...]
) -> None:
    said = [(False, 40), (True, 20), (False, 10)]
    memory = Memory()
    for number in order:
        given, seconds = said[number]
        with sessions.begin() as session:
            send(session, memory, number, given, NOW - timedelta(seconds=seconds))
    with sessions() as session:
        rows = consent.history(session, [WHO], purpose="ads.share")
        found = consent.standings(rows, at=NOW, known_at=None, purposes={})
    assert next(one.standing for one in found.values()) != "given"
