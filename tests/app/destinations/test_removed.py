"""A destination that was removed: nothing goes there, and whom it was told of stays known."""

from datetime import UTC, datetime
from typing import Any

import httpx
import sqlalchemy as sa

from app.destinations import held, registry
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery, Destination, HeldRecord
from app.privacy import gather, subject
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.test_told_as_another import ask
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

DECLARED = {"recipient": "Mail House Ltd", "region": "FR", "agreement": "of May"}


def told(people: World, receiver: Receiver, **more: Any) -> Any:
    """Tell a destination of Ada, and of Bob, who waits."""
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(url=receiver.url, segments=["pros"], declared=DECLARED, **more)
    people.settle()
    people.people("bob", plan="pro")
    assert len(receiver.received) == 1
    return made


def remove(people: World, destination: Any) -> None:
    path = f"/v1/destinations/{destination['id']}"
    people.server.delete(path, headers=people.header).raise_for_status()


def test_nothing_goes_to_it_any_more_and_its_secrets_are_gone(
    people: World, receiver: Receiver
) -> None:
    made = told(people, receiver)
    remove(people, made)
    people.now()
    people.settle()
    assert len(receiver.received) == 1
    with people.sessions() as session:
        kept = session.get_one(Destination, made["id"])
        assert (kept.secret, kept.enabled, kept.segments) == ("", False, [])
        states = session.execute(sa.select(Delivery.state, Delivery.reason).order_by(Delivery.id))
        assert [tuple(row) for row in states] == [
            ("delivered", None),
            ("dropped", registry.REMOVED),
        ]
    for call in (people.server.get, people.server.delete):
        answer = call(f"/v1/destinations/{made['id']}", headers=people.header)
        assert answer.status_code == 404
    assert people.get("/v1/destinations")["data"] == []
    assert people.destination(url=receiver.url, segments=["pros"])["id"] != made["id"]
    assert len(people.get("/v1/destinations")["data"]) == 1


def test_who_is_erased_later_is_shown_whom_the_controller_has_to_tell(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    made = told(people, receiver)
    remove(people, made)
    people.destination(url=receiver.url, segments=["pros"])  # of the same name
    with people.sessions() as session:
        found = subject.find(session, [identifiers.parse("user_id:ada")])
        facts = gather.everything(session, settings, found, [])
    assert [r["recipient"] for r in facts["recipients"]] == ["there"]
    shown = ask(people, settings, "erasure", "user_id:ada")
    [task] = [t for t in shown["tasks"] if t["store"] == "destination"]
    assert (task["target"], task["state"]) == (str(made["id"]), "not_supported")
    assert task["result"]["name"] == "there"
    assert task["result"]["why"] == registry.REMOVED
    assert task["result"]["receiver"] == {
        **DECLARED, "kind": "webhook", "url": receiver.url, "purpose": "marketing.email",
    }  # fmt: skip
    people.now()
    people.settle()
    assert len(receiver.received) == 1 + 1, "of Bob, to the new one"


def test_what_is_under_way_while_it_is_removed_is_on_record_as_taken(
    people: World, receiver: Receiver
) -> None:
    people.people("ada", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    fields = {"email": {"identifier": "email"}}
    made = people.destination(
        kind="segment", url=receiver.url, segments=["pros"], mapping=fields,
        secrets={"write_key": "wk"},
    )  # fmt: skip
    people.work()

    def taken(_: httpx.Request) -> httpx.Response:
        with people.sessions.begin() as session:
            registry.remove(session, made["id"], now=datetime.now(UTC))
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(taken)) as client:
        assert deliver(people.sessions, client) == 1
        assert deliver(people.sessions, client) == 0
    with people.sessions() as session:
        assert session.scalars(sa.select(Delivery.state)).all() == ["delivered"]
        [(remote, hashed)] = session.execute(sa.select(HeldRecord.remote, HeldRecord.remote_hash))
        assert (remote, hashed) == (None, None)  # it holds her still, and nobody can ask by that id


def test_whom_it_was_never_told_of_is_shown_no_recipient(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    remove(people, told(people, receiver))
    with people.sessions() as session:
        found = subject.find(session, [identifiers.parse("user_id:bob")])
        facts = gather.everything(session, settings, found, [])
    assert facts["recipients"] == []
    details = {"trait": "plan", "value": "free"}
    for kind, more in (("rectification", {"details": details}), ("erasure", {})):
        shown = ask(people, settings, kind, "user_id:bob", **more)
        assert [t["target"] for t in shown["tasks"] if t["store"] == "destination"] == [], kind


def test_whom_it_may_hold_is_known_when_no_message_is_on_record_any_more(
    people: World, receiver: Receiver, settings: Settings
) -> None:
    made = told(people, receiver)
    with people.sessions() as session:
        [ada] = session.scalars(sa.select(HeldRecord.person_id))
    remove(people, made)
    with people.sessions.begin() as session:
        for table in ("delivery", "disclosure"):  # as after PARCOURS_DISCLOSURE_DAYS
            session.execute(sa.text(f"DELETE FROM app.{table}"))  # noqa: S608 -- two names of ours
        assert held.told_of(session, [ada]) == []
        found = subject.find(session, [identifiers.parse("user_id:ada")])
        facts = gather.everything(session, settings, found, [])
    assert [(r["recipient"], r["what"], r["state"]) for r in facts["recipients"]] == [
        ("there", "record", "held")
    ]
    details = {"trait": "plan", "value": "free"}
    ask(people, settings, "rectification", "user_id:ada", details=details)
    with people.sessions() as session:
        assert [*session.scalars(sa.select(Delivery.reason))] == [registry.REMOVED]
    shown = ask(people, settings, "erasure", "user_id:ada")
    [task] = [t for t in shown["tasks"] if t["store"] == "destination"]
    assert (task["target"], task["state"]) == (str(made["id"]), "not_supported")
    with people.sessions() as session:
        assert session.scalars(sa.select(HeldRecord.id)).all() == []
