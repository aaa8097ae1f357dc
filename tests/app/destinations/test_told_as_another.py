"""Receivers that were told of an identifier while it was part of somebody else, or alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

import consent
from app.consents.record import record
from app.destinations.disclosures import since_refused
from app.destinations.tables import Delivery, Destination
from app.privacy import describe, gather, run, subject
from app.privacy import requests as privacy_requests
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.world import EMAIL, World
from tests.end_to_end.conftest import Receiver

DEVICE = "anonymous_id:dev-hallway-7"


@pytest.fixture
def parted(people: World, receiver: Receiver) -> World:
    """A device that was told of as part of Ada, and is somebody of its own since.

    It was never in the segment by itself.
    """
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    with people.sessions.begin() as session:
        record(
            session, "anonymous_id", "dev-hallway-7",
            dict.fromkeys((EMAIL, "profile.link"), "given"), collected_by="test",
            received_at=datetime.now(UTC),
        )  # fmt: skip
    body = {"anonymousId": "dev-hallway-7", "event": "Seen", "writeKey": people.key}
    people.server.post("/v1/track", json=body).raise_for_status()
    people.work()
    people.server.post("/v1/track", json={**body, "userId": "ada"}).raise_for_status()
    people.work()
    people.destination(url=receiver.url, segments=["pros"])
    people.settle()
    [told] = [json.loads(one.body)["data"] for one in receiver.received]
    assert told["identifiers"]["anonymous_id"] == ["dev-hallway-7"]
    people.undo()
    people.settle()
    assert people.profile(DEVICE) != people.profile("user_id:ada")
    [_, parted] = [json.loads(one.body) for one in receiver.received]
    assert parted["type"] == "profile.updated"
    assert sorted(parted["data"]["identifiers"]) == ["email", "user_id"]
    return people


def ask(people: World, settings: Settings, kind: str, *who: str, **more: Any) -> dict[str, Any]:
    with people.sessions.begin() as session:
        made = privacy_requests.open_(
            session, settings, kind=kind, identifiers=[identifiers.parse(one) for one in who],
            by="test", now=datetime.now(UTC), attested="a test", **more,
        )  # fmt: skip
        request = made.id
    run.at_once(people.sessions, settings, request)
    with people.sessions() as session:
        return describe.whole(session, request, settings, now=datetime.now(UTC))


def told(receiver: Receiver, since: int = 2) -> list[tuple[str, dict[str, Any]]]:
    found = [json.loads(one.body) for one in receiver.received[since:]]
    return [(one["type"], one["data"]) for one in found]


def test_who_was_told_as_somebody_else_is_erased_at_the_receiver_and_nobody_else_is(
    parted: World, receiver: Receiver, settings: Settings
) -> None:
    ada, device = parted.profile("user_id:ada"), parted.profile(DEVICE)
    shown = ask(parted, settings, "erasure", DEVICE)
    assert [t["target"] for t in shown["tasks"] if t["store"] == "destination"], "it is planned"
    parted.deliver()
    assert told(receiver) == [("profile.erased", {"profile_id": device, "told_as": [ada]})]
    with parted.sessions() as session:
        kept = session.scalars(sa.select(Delivery.type).order_by(Delivery.id)).all()
    expected = ["segment.entered", "profile.updated", "profile.erased"]
    assert kept == expected, "what was told of Ada stays"


def test_what_the_receiver_knows_of_ada_goes_with_ada_alone(
    parted: World, receiver: Receiver, settings: Settings
) -> None:
    ada = parted.profile("user_id:ada")
    ask(parted, settings, "erasure", "user_id:ada")
    parted.deliver()
    assert told(receiver) == [("profile.erased", {"profile_id": ada})]


def test_a_package_names_who_was_told_of_it_as_part_of_somebody_else(
    parted: World, settings: Settings
) -> None:
    def recipients(who: str) -> list[tuple[str, str, str]]:
        with parted.sessions() as session:
            found = subject.find(session, [identifiers.parse(who)])
            facts = gather.everything(session, settings, found, [])
        return [(r["recipient"], r["what"], r["state"]) for r in facts["recipients"]]

    expected = [("there", "segment.entered", "delivered")]
    assert recipients(DEVICE) == expected
    assert recipients("user_id:ada") == [*expected, ("there", "profile.updated", "delivered")]
    with parted.sessions.begin() as session:  # as a look is, after a while
        session.execute(sa.delete(Delivery))
    assert recipients(DEVICE) == [("there", "segment.entered", "noted")]


@pytest.mark.parametrize("gone", [False, True], ids=["as a message", "as evidence alone"])
def test_the_sweep_of_a_late_withdrawal_finds_what_was_told_of_it_as_part_of_somebody_else(
    parted: World, gone: bool
) -> None:
    now = datetime.now(UTC)
    said = consent.Choice(
        "anonymous_id", "dev-hallway-7", EMAIL, "withdrawn", now - timedelta(minutes=30), "test"
    )
    with parted.sessions.begin() as session:
        entered = sa.select(Delivery.message_id).where(Delivery.type == "segment.entered")
        sent = session.scalars(entered).one()
        if gone:
            session.execute(sa.delete(Delivery))
        [record] = consent.record(session, [said], received_at=now)
        [found] = since_refused(session, UUID(record.record_id))
    assert (found["message_id"], found["destination"]) == (str(sent), "there")


def test_the_sweep_finds_what_was_told_of_it_before_it_was_merged(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    people.destination(url=receiver.url, segments=["pros"])
    people.settle()
    people.merge("ada", "dev-hallway-7")
    people.settle()
    now = datetime.now(UTC)
    said = consent.Choice("user_id", "ada", EMAIL, "withdrawn", now - timedelta(minutes=30), "test")
    with people.sessions.begin() as session:
        told = Delivery.sent, Delivery.type != "segment.exited"
        sent = {str(one) for one in session.scalars(sa.select(Delivery.message_id).where(*told))}
        [record] = consent.record(session, [said], received_at=now)
        found = since_refused(session, UUID(record.record_id))
    assert len(sent) == 3, "each alone, and both as one"
    assert {one["message_id"] for one in found} == sent
    exits = sorted(str(one["exit"]) for one in found)
    assert exits == ["None", "None", "delivered"], "one was merged away"


def test_a_rectification_is_told_to_who_was_told_of_it_as_part_of_somebody_else(
    parted: World, receiver: Receiver, settings: Settings
) -> None:
    ada, device = parted.profile("user_id:ada"), parted.profile(DEVICE)
    with parted.sessions.begin() as session:
        session.execute(sa.update(Destination).values(enabled=True))
    details = {"trait": "city", "value": "Lyon"}
    ask(parted, settings, "rectification", DEVICE, details=details)
    parted.deliver()
    said = {"profile_id": device, "trait": "city", "told_as": [ada]}
    assert told(receiver) == [("profile.rectified", said)]
