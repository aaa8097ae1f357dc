"""Of what never left nobody was told, whatever was tried and whatever is noted of it."""

from typing import Any

import pytest
import sqlalchemy as sa

from app.destinations.tables import Delivery
from app.privacy import gather, subject
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.test_told_as_another import ask
from tests.app.destinations.world import EMAIL, World
from tests.end_to_end.conftest import Receiver


def waits(people: World, receiver: Receiver) -> Any:
    """Let a message of Ada wait."""
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(url=receiver.url, segments=["pros"])
    people.work()
    return made["id"]


def unusable(people: World, number: int) -> None:
    """Have it tried while it cannot be used."""
    with people.sessions.begin() as session:
        change = sa.text("UPDATE app.destination SET purpose = 'gone' WHERE id = :id")
        session.execute(change, {"id": number})
    people.deliver()
    with people.sessions() as session:
        [row] = session.execute(sa.select(Delivery.state, Delivery.attempts, Delivery.reason))
    assert row == ("waiting", 0, "the destination cannot be used: PurposeNotFound")


def denied(people: World, number: int) -> None:
    """Have it decided, and not sent."""
    people.say("ada", "withdrawn", EMAIL)
    people.deliver()
    assert [row[:2] for row in people.outcomes(number)] == [("segment.entered", "dropped")]


@pytest.mark.parametrize("before", [unusable, denied])
def test_who_was_in_what_never_left_is_shown_no_recipient_and_nobody_is_told(
    people: World, receiver: Receiver, settings: Settings, before: Any
) -> None:
    number = waits(people, receiver)
    before(people, number)
    with people.sessions() as session:
        found = subject.find(session, [identifiers.parse("user_id:ada")])
        assert gather.everything(session, settings, found, [])["recipients"] == []
    for kind, more in (
        ("rectification", {"details": {"trait": "plan", "value": "free"}}),
        ("erasure", {}),
    ):
        shown = ask(people, settings, kind, "user_id:ada", **more)
        assert [t["target"] for t in shown["tasks"] if t["store"] == "destination"] == [], kind
    assert receiver.received == []


def test_who_withdraws_while_it_cannot_be_used_is_not_taken_back(
    people: World, receiver: Receiver
) -> None:
    number = waits(people, receiver)
    unusable(people, number)
    with people.sessions.begin() as session:
        change = sa.text("UPDATE app.destination SET purpose = :purpose WHERE id = :id")
        session.execute(change, {"purpose": EMAIL, "id": number})
    people.now()
    people.say("ada", "withdrawn", EMAIL)
    people.deliver()
    people.settle()
    assert [row[:2] for row in people.outcomes(number)] == [("segment.entered", "dropped")]
    assert receiver.received == []


def test_what_may_have_left_counts_as_told_before_it_is_sent(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    """Whoever sends may die before anything else is noted."""
    waits(people, receiver)
    people.deliver()
    assert len(receiver.received) == 1
    with people.sessions.begin() as session:
        as_claimed = "UPDATE app.delivery SET state = 'waiting', reason = NULL, ended_at = NULL"
        session.execute(sa.text(as_claimed))
        session.execute(sa.text("DELETE FROM app.disclosure"))
        found = subject.find(session, [identifiers.parse("user_id:ada")])
        [one] = gather.everything(session, settings, found, [])["recipients"]
    assert (one["recipient"], one["state"]) == ("there", "waiting")
