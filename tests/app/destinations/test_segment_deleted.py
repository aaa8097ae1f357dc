"""Segments that were deleted, or made anew for another purpose, and what destinations do then."""

import json
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from app.destinations import deciding, outbox, trouble
from app.destinations.tables import Delivery, Destination
from identity import people as identity
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}


@pytest.mark.parametrize("kind", ["webhook", "segment"])
def test_who_was_told_of_is_taken_back_when_it_is_on_again(
    people: World, receiver: Receiver, kind: str
) -> None:
    people.people("ada", "bob", plan="pro")
    people.segment("pros", PROS)
    people.segment("others", {"trait": "plan", "op": "eq", "value": "free"})
    more = {"secrets": {"write_key": "wk"}} if kind == "segment" else {}
    made = people.destination(kind=kind, url=receiver.url, segments=["pros", "others"], **more)
    path = f"/v1/destinations/{made['id']}"
    people.settle()
    assert people.get(path)["held"] == 2
    people.patch(path, {"enabled": False})
    people.server.delete("/v1/segments/pros", headers=people.header).raise_for_status()
    people.settle()
    before = len(receiver.received)
    assert people.get(path)["held"] == 2, "nothing is sent while it is off"
    assert people.patch(path, {"enabled": True})["enabled"] is True
    people.now()
    people.settle()
    assert people.get(path)["held"] == 0
    said = "".join(json.dumps(json.loads(one.body)) for one in receiver.received[before:])
    exits = "segment.exited" if kind == "webhook" else "Audience Exited"
    assert said.count(exits) == 2
    assert people.post(f"{path}/dry-run")["members"] == 0


def made(people: World, receiver: Receiver, kind: str) -> str:
    more = {"secrets": {"write_key": "wk"}} if kind == "segment" else {}
    answer = people.destination(kind=kind, url=receiver.url, segments=["pros"], **more)
    return f"/v1/destinations/{answer['id']}"


@pytest.mark.parametrize("kind", ["webhook", "segment"])
def test_nobody_is_sent_of_a_segment_whose_key_was_made_anew_for_another_purpose(
    people: World, receiver: Receiver, kind: str
) -> None:
    """Who is in it agreed to be measured and to be written to; it selects for the former alone."""
    people.people("ada", plan="pro")
    people.segment("pros", PROS)
    path = made(people, receiver, kind)
    people.settle()
    assert people.get(path)["held"] == 1
    people.server.delete("/v1/segments/pros", headers=people.header).raise_for_status()
    people.say("ada", "given", "analytics.audience")
    people.say("bob", "given", "analytics.audience")
    body = {"key": "pros", "name": "pros", "purpose": "analytics.audience", "rule": PROS}
    people.post("/v1/segments", body)
    people.settle()
    assert people.get(path)["held"] == 0
    before = len(receiver.received)

    people.people("bob", plan="pro")
    people.settle()
    people.post(f"{path}/sync", full=True)
    people.settle()
    assert people.get("/v1/segments/pros")["size"] == 2
    assert people.post(f"{path}/dry-run") == {"would_send": [], "not_sent": [], "members": 0}
    with people.sessions.begin() as session:  # as one that was queued by an earlier version
        destination = session.scalars(sa.select(Destination)).one()
        person = identity.find(session, "user_id", "bob")
        assert person is not None
        entered: list[outbox.Message] = [(person, outbox.ENTERED, {})]
        outbox.queue(session, destination, "pros", entered, datetime.now(UTC))
        said = trouble.of_all(session)
    people.settle()
    assert len(receiver.received) == before
    assert people.outcomes(destination.id)[-1][1:] == ("dropped", deciding.ANOTHERS)
    assert said == [("there", "is sent nobody of pros: made anew for another purpose")]


def test_who_may_have_been_told_of_is_taken_back_by_the_sync_when_it_is_on_again(
    people: World, receiver: Receiver
) -> None:
    """The message was given up, and arrived; the person left while the destination was off."""
    people.people("ada", plan="pro")
    people.segment("pros", PROS)
    path = made(people, receiver, "webhook")
    people.settle()
    with people.sessions.begin() as session:
        session.execute(sa.update(Delivery).values(state="failed"))
    people.patch(path, {"enabled": False})
    people.identify("ada", plan="free")
    people.settle()
    people.patch(path, {"enabled": True})
    people.now()
    people.settle()
    said = [json.loads(one.body)["type"] for one in receiver.received]
    assert said == ["segment.entered", "segment.exited"]
