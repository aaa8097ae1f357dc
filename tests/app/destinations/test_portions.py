"""Syncs in portions: asked for at once, taken up again after a crash, and beside refreshes."""

import threading
from collections import Counter

import pytest
import sqlalchemy as sa

from app import pipeline
from app.destinations import outbox, portions, syncing, trouble
from app.destinations.tables import Delivery, Destination, Sync
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

PROS = {"trait": "plan", "op": "eq", "value": "pro"}
USERS = ("u0", "u1", "u2", "u3", "u4")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of two."""
    monkeypatch.setattr(syncing, "PAGE", 2)


def there(people: World, url: str) -> int:
    """A webhook that is to hear of five members."""
    people.people(*USERS, plan="pro")
    people.segment("pros", PROS)
    return int(people.destination(url=url, segments=["pros"])["id"])


def told(people: World, number: int) -> Counter[tuple[str, str]]:
    rows = people.outcomes(number)
    return Counter((row[0], row[1]) for row in rows if row[0].startswith("segment."))


def test_a_request_queues_nobody_and_the_worker_does_in_portions_that_are_shown(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    shown = people.get(f"/v1/destinations/{number}")
    assert (shown["waiting"], shown["sync"]["state"]) == (0, "waiting")
    assert portions.advance(people.sessions)
    shown = people.get(f"/v1/destinations/{number}")
    sync = {name: shown["sync"][name] for name in ("state", "segment", "people", "queued")}
    assert shown["waiting"] == 2
    assert sync == {"state": "running", "segment": "pros", "people": 2, "queued": 2}
    people.deliver()
    shown = people.get(f"/v1/destinations/{number}")["sync"]
    assert (shown["state"], shown["people"], shown["queued"]) == ("done", 5, 5)
    again = people.post(f"/v1/destinations/{number}/sync")["sync"]
    assert again["state"] == "waiting"
    people.post(f"/v1/destinations/{number}/sync")
    with people.sessions() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Sync)) == 2, "asked for once"
    people.deliver()
    assert told(people, number) == {("segment.entered", "delivered"): 5}
    with people.sessions() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Sync)) == 1, "the last"


def test_a_portion_that_was_cut_off_is_done_again_and_nobody_is_told_twice(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    portions.advance(people.sessions)
    with people.sessions() as session:  # a process that is killed before it commits
        portions.run(session)
        session.rollback()
    people.deliver()
    assert told(people, number) == {("segment.entered", "delivered"): 5}


def test_who_comes_and_goes_meanwhile_is_told_once_or_not_at_all(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    portions.advance(people.sessions)  # of u0 and u1
    people.identify("u0", plan="free")
    people.identify("u4", plan="free")
    people.people("u5", plan="pro")
    people.deliver()
    with people.sessions() as session:
        asked = sa.select(Delivery.profile_id, Delivery.type)
        rows = session.execute(asked.where(Delivery.type != outbox.UPDATED))
        said = Counter((str(row.profile_id), row.type) for row in rows)
    assert set(said.values()) == {1}
    by_user = {user: people.profile(f"user_id:{user}") for user in (*USERS, "u5")}
    kinds = {user: {t for p, t in said if p == by_user[user]} for user in by_user}
    entered = {"segment.entered"}
    assert kinds == {
        "u0": {"segment.entered", "segment.exited"},
        "u4": set(), "u1": entered, "u2": entered, "u3": entered, "u5": entered,
    }  # fmt: skip
    assert people.get(f"/v1/destinations/{number}")["waiting"] == 0


def test_a_portion_waits_for_the_refresh_by_which_somebody_leaves(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    people.identify("u0", plan="free")
    with people.sessions.begin() as refresh:
        assert pipeline.step(refresh).events == 1
        portion = threading.Thread(target=portions.advance, args=(people.sessions,))
        portion.start()
        portion.join(timeout=0.5)
        assert portion.is_alive(), "it saw somebody who is on the way out"
    portion.join(timeout=30)
    people.settle()
    gone = people.profile("user_id:u0")
    listed = people.get(f"/v1/destinations/{number}/deliveries")["data"]
    assert gone not in {row["profile_id"] for row in listed}
    assert len(listed) == 4


def test_who_was_missed_and_who_is_in_no_more_is_found_by_a_sync(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    people.deliver()
    people.patch(f"/v1/destinations/{number}", {"enabled": False})
    people.identify("u1", plan="free")
    people.people("u6", "u7", plan="pro")
    people.patch(f"/v1/destinations/{number}", {"enabled": True})
    people.deliver()
    assert told(people, number) == {
        ("segment.entered", "delivered"): 7, ("segment.exited", "delivered"): 1,
    }  # fmt: skip


def test_a_full_sync_tells_everybody_anew_and_a_replay_of_many_goes_in_portions_too(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    people.deliver()
    people.post(f"/v1/destinations/{number}/sync", full=True)
    people.deliver()
    assert told(people, number) == {("segment.entered", "delivered"): 10}
    with people.sessions.begin() as session:
        failed = sa.update(Delivery).values(state="failed")
        latest = sa.select(sa.func.max(Delivery.id)).group_by(Delivery.person_id)
        session.execute(failed.where(Delivery.id.in_(latest)))
        session.execute(sa.delete(Delivery).where(Delivery.state == "delivered"))
    receiver.received.clear()
    assert people.post(f"/v1/destinations/{number}/replay") == {"queued": 2}
    people.deliver()
    assert told(people, number) == {("segment.entered", "delivered"): 5}
    assert len(receiver.received) == 5


def test_a_sync_that_cannot_be_done_rests_and_says_why_and_holds_up_no_other(
    people: World, receiver: Receiver
) -> None:
    number = there(people, receiver.url)
    other = people.destination(url=receiver.url, segments=["pros"], name="other")["id"]
    with people.sessions.begin() as session:  # as if its purpose had gone from the catalogue
        mine = sa.update(Destination).where(Destination.id == number)
        session.execute(mine.values(purpose="gone"))
    people.deliver()
    assert told(people, other) == {("segment.entered", "delivered"): 5}
    with people.sessions() as session:
        [(error, ended)] = session.execute(
            sa.select(Sync.error, Sync.ended_at).where(Sync.destination_id == number)
        )
        said = trouble.of_all(session)
    assert (error, ended) == ("PurposeNotFound", None)
    assert ("there", "cannot be synced: PurposeNotFound") in said


def test_one_that_is_removed_has_no_sync(people: World, receiver: Receiver) -> None:
    number = there(people, receiver.url)
    portions.advance(people.sessions)
    gone = people.server.delete(f"/v1/destinations/{number}", headers=people.header)
    assert gone.status_code == 204
    assert not portions.advance(people.sessions)
