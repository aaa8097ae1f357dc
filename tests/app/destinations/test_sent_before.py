"""What may have arrived is taken back, and what is not so any more is not sent."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.db import Sessions
from app.destinations import deliver as delivering
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery, Destination, Disclosure
from tests.app.destinations.world import EMAIL, World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}
MAPPING = {"email": {"identifier": "email"}, "city": {"trait": "city", "required": True}}


def webhook(people: World, url: str) -> int:
    people.segment("pros", PROS)
    return int(people.destination(url=url, segments=["pros"])["id"])


def lost(people: World) -> None:
    """Send what is due to a receiver whose answer is lost: it may have taken it."""

    def taken(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("the answer is lost")

    with httpx.Client(transport=httpx.MockTransport(taken)) as client:
        assert deliver(people.sessions, client) == 1


@pytest.mark.parametrize("given_up", [False, True], ids=["tried again", "replayed"])
def test_who_withdraws_before_it_is_sent_again_is_taken_back(
    people: World, receiver: Receiver, given_up: bool
) -> None:
    """The message is dropped before anybody has computed that the person left."""
    people.people("ada", plan="pro")
    number = webhook(people, receiver.url)
    people.work()
    lost(people)
    if given_up:
        with people.sessions.begin() as session:
            session.execute(sa.update(Delivery).values(state="failed"))
        assert people.post(f"/v1/destinations/{number}/replay")["queued"] == 1
    people.say("ada", "withdrawn", EMAIL)
    people.now()
    people.deliver()
    assert receiver.received == []
    people.settle()
    [said] = [json.loads(one.body) for one in receiver.received]
    assert (said["type"], said["data"]["reason"]) == ("segment.exited", "consent:withdrawn")


def test_who_was_never_sent_is_not_taken_back(people: World, receiver: Receiver) -> None:
    people.people("ada", plan="pro")
    webhook(people, receiver.url)
    people.work()
    people.say("ada", "withdrawn", EMAIL)
    people.deliver()
    people.settle()
    assert receiver.received == []


def test_a_replay_does_not_bring_back_who_has_left(people: World, receiver: Receiver) -> None:
    """That she left had not to be told, since nothing had been sent of her."""
    people.people("ada", plan="pro")
    people.segment("pros", PROS)
    number = people.destination(
        kind="segment", url=receiver.url, secrets={"write_key": "wk"}, segments=["pros"],
        mapping=MAPPING,
    )["id"]  # fmt: skip
    people.settle()
    people.identify("ada", plan="free", city="Lyon")
    people.settle()
    assert [row[:2] for row in people.outcomes(number) if row[0] != "profile.updated"] == [
        ("segment.entered", "failed"),
        ("segment.exited", "dropped"),
    ]
    assert people.post(f"/v1/destinations/{number}/replay")["queued"] == 0
    people.settle()
    assert receiver.received == []


def after_the_claim(monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """Let something happen between a claim and its decision."""
    real = delivering._bounded

    def bounded(sessions: Sessions, claim: Any) -> Any:
        with sessions.begin() as session:
            then(session)
        return real(sessions, claim)

    monkeypatch.setattr(delivering, "_bounded", bounded)


def test_evidence_names_where_it_was_sent_also_when_that_changes_meanwhile(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.people("ada", plan="pro")
    webhook(people, "http://before.test/")
    people.work()
    after = {"url": receiver.url}
    after_the_claim(
        monkeypatch,
        lambda session: session.execute(sa.update(Destination).values(settings=after, **after)),
    )
    people.deliver()
    assert len(receiver.received) == 1
    with people.sessions() as session:
        [leaf] = session.scalars(sa.select(Disclosure.leaf))
    assert json.loads(leaf)["destination"]["host"] == "127.0.0.1"


def test_what_is_switched_off_between_claim_and_decision_is_not_sent(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.people("ada", plan="pro")
    number = webhook(people, receiver.url)
    people.work()
    with monkeypatch.context() as patch:
        after_the_claim(
            patch, lambda session: session.execute(sa.update(Destination).values(enabled=False))
        )
        people.deliver()
    assert receiver.received == []
    people.patch(f"/v1/destinations/{number}", {"enabled": True})
    people.now()
    people.settle()
    assert len(receiver.received) == 1


def test_who_has_waited_for_most_of_a_lease_leaves_the_batch_to_the_next(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.people("ada", plan="pro")
    webhook(people, receiver.url)
    people.work()
    with monkeypatch.context() as patch, httpx.Client() as client:
        patch.setattr(delivering, "LEASE", delivering.ROOM - timedelta(seconds=1))
        assert deliver(people.sessions, client) == 1
    assert receiver.received == []
    with people.sessions() as session:
        states = session.execute(sa.select(Delivery.state, Delivery.attempts)).all()
    assert [tuple(row) for row in states] == [("waiting", 0)]
    people.now()
    people.deliver()
    assert len(receiver.received) == 1
