"""Which value of a trait counts: the latest, but never one of a clock that is in the future."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.events import stream
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.profiles import read as read_profile
from app.profiles import timeline
from app.profiles.project import project
from app.profiles.traits import TraitValue, fold

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_clock_in_the_future_does_not_speak_the_last_word(session: Session) -> None:
    source, _ = sources.add(session, "web")
    said = (("gold", NOW + 3650 * 24 * HOUR), ("silver", NOW + HOUR), ("late", NOW - 9 * HOUR))
    for number, (plan, at) in enumerate(said):
        message: dict[str, Any] = {
            "type": "identify", "userId": "u-1", "traits": {"plan": plan},
            "timestamp": at.isoformat(),
        }  # fmt: skip
        received_at = NOW + number * 2 * HOUR
        event = read(to_message(message), received_at=received_at, largest=9999)
        assert isinstance(event, Envelope)
        append(session, [Item(sources.settings_of(source), event, received_at)], Memory())
    session.execute(sa.text("UPDATE app.event SET transaction = '1'"))  # as if committed
    project(session, stream.next_outlines(session, "pipeline", 9))
    assert session.scalars(sa.text("SELECT value FROM app.trait")).all() == ["silver"]


def test_the_same_holds_between_identifiers() -> None:
    def value(text: str, occurred_at: datetime, received_at: datetime, number: int) -> TraitValue:
        said = ("m", "web", "user_id:1")
        return TraitValue("plan", text, occurred_at, received_at, None, number, *said)

    ahead = value("gold", NOW + 9999 * HOUR, NOW, 1)
    later = value("silver", NOW + HOUR, NOW + HOUR, 2)
    late = value("bronze", NOW - HOUR, NOW + 2 * HOUR, 3)
    assert fold([later, ahead, late])["plan"].value == "silver"
    assert fold([ahead, late])["plan"].value == "gold"
    earlier_id = value("second", NOW, NOW + timedelta(microseconds=1), 4)
    assert fold([earlier_id, value("first", NOW, NOW, 5)])["plan"].value == "second"


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_equal_times_the_order_of_the_source_decides(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    order: tuple[int, ...],
    numbered: bool,
) -> None:
    """In traits, in the timeline and over its pages, whatever came first (journeys.md §4.0)."""
    messages: list[dict[str, Any]] = [
        {"type": "identify", "userId": "u-1", "traits": {"step": n}, "messageId": f"m-{n}",
         "timestamp": NOW.isoformat(), **({"sourceSeq": 10 + n} if numbered else {})}
        for n in range(3)
    ]  # fmt: skip
    for n in order:
        body = {"batch": [messages[n]], "writeKey": write_key}
        server.post("/v1/batch", json=body).raise_for_status()
        with sessions.begin() as session:
            pipeline.step(session)
    with sessions() as session:
        found = read_profile.find(session, "user_id:u-1")
        view = read_profile.view(session, found, "service.operation")
        last_first = (2, 1, 0) if numbered else order[::-1]  # else by their receipt
        assert read_profile.traits(session, view)["step"].value == last_first[0]
        seen, cursor = [], None
        for _ in messages:
            [row], cursor = timeline.page(session, view, cursor=cursor, limit=1)
            seen.append(row.message_id)
    assert (seen, cursor) == ([f"m-{n}" for n in last_first], None)
