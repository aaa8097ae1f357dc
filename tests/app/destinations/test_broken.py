"""A destination that cannot be used rests, says why, and holds up no other."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.destinations import deliver as delivering
from app.destinations import seal
from app.destinations.kind import Outcome, Record, Setup
from app.destinations.webhook import Webhook
from app.destinations.wire import Wire
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver


def test_one_whose_secrets_or_purpose_are_gone_rests_and_others_go_on(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = {
        name: people.destination(name=name, url=receiver.url, segments=["pros"])["id"]
        for name in ("sealed elsewhere", "aimless", "of a newer version", "well")
    }
    people.fill()
    with people.sessions.begin() as session:
        for name, change in (
            ("sealed elsewhere", f"secret = '{seal.MARK}nonsense'"),
            ("aimless", "purpose = 'gone'"),
            ("of a newer version", "kind = 'carrier-pigeon'"),
        ):
            session.execute(sa.text(f"UPDATE app.destination SET {change} WHERE id = {made[name]}"))  # noqa: S608 -- of this test
    people.deliver()
    assert len(receiver.received) == 1
    rests = "SELECT state, attempts, reason FROM app.delivery WHERE destination_id = :id"
    for name in ("sealed elsewhere", "aimless"):  # nobody may read of people for a purpose gone
        with people.sessions() as session:
            [row] = session.execute(sa.text(rests), {"id": made[name]}).all()
        assert (row.state, row.attempts) == ("waiting", 0)
        assert row.reason.startswith("the destination cannot be used: ")


def test_a_kind_that_fails_itself_is_asked_again(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.people("ada", "bob", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    number = people.destination(url=receiver.url, segments=["pros"])["id"]
    for wrong, said in (
        (lambda *_: 1 / 0, "webhook: ZeroDivisionError"),
        (lambda *_: [Outcome("taken")], "webhook: 1 outcomes of 2 records"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(Webhook, "send", wrong)
            people.now()
            people.deliver()
        assert {reason for _, _, reason in people.outcomes(number)} == {said}
    send, ada = Webhook.send, people.profile("user_id:ada")

    def not_hers(kind: Webhook, setup: Setup, records: Sequence[Record], wire: Wire) -> Any:
        if any(record.profile_id == ada for record in records):
            raise OverflowError
        return send(kind, setup, records, wire)

    with monkeypatch.context() as patch:
        patch.setattr(Webhook, "send", not_hers)
        people.now()
        people.deliver()
    [held_up] = [row for row in people.outcomes(number) if row[1] == "waiting"]
    assert held_up[2] == "webhook: OverflowError"
    assert len(receiver.received) == 1, "one of which it can make nothing holds up no other"
    people.now()
    people.deliver()
    assert len(receiver.received) == 2


def test_a_batch_holds_no_more_identifiers_than_the_server_has_room_for(
    people: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "MOST_HELD", 5)  # three people have two each
    people.people("ada", "bob", "eve", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    number = people.destination(url=receiver.url, segments=["pros"])["id"]
    people.fill()
    with httpx.Client() as client:
        assert delivering.deliver(people.sessions, client) == 2
        assert delivering.deliver(people.sessions, client) == 1
    rows = people.get(f"/v1/destinations/{number}/deliveries")["data"]
    assert [(row["state"], row["attempts"]) for row in rows] == [("delivered", 1)] * 3
