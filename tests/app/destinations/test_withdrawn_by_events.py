"""A withdrawal that an event carries waits for what is being sent, as one that is said to us does.

A receiver that is at it just now has answered before the withdrawal is committed; check 46 holds
the same for explicit ones, with ten thousand sends.
"""

import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.consents import in_use, spellings
from app.db import Sessions
from app.destinations.deliver import deliver
from app.destinations.tables import Delivery, Destination
from app.imports import load
from identity import graph, respelling
from identity import people as persons
from tests.app.destinations.world import EMAIL, World
from tests.consent.build import tc
from tests.end_to_end.product import wait_until

ADS = "ads.personalised"
NO = {"consent": {"categoryPreferences": {EMAIL: False}}}
Way = Callable[[World], None]


def post(world: World, path: str, body: dict[str, Any], **headers: str) -> None:
    whole = {**body, "writeKey": world.key}
    world.server.post(f"/v1/{path}", json=whole, headers=headers).raise_for_status()


def stamped(world: World) -> None:
    post(world, "track", {"userId": "ada", "event": "Seen", "context": NO})


def in_a_batch(world: World) -> None:
    seen = {"type": "track", "event": "Seen"}
    told = [{**seen, "userId": f"other-{n}", "context": NO} for n in range(3)]
    post(world, "batch", {"batch": [*told, {**seen, "userId": "ada", "context": NO}]})


def by_its_browser(world: World) -> None:
    post(world, "track", {"userId": "ada", "event": "Seen"}, **{"Sec-GPC": "1"})


def by_a_tc_string(world: World) -> None:
    string = tc(purposes=[], vendors=[], disclosed=[10], publisher=[])
    context = {"consent": {"tcf": string}}
    post(world, "track", {"userId": "ada", "event": "Seen", "context": context})


def of_one_vendor(world: World) -> None:
    """The purposes are granted as before; what is new is that no vendor may."""
    string = tc(purposes=[4], vendors=[], disclosed=[10], publisher=[4])
    context = {"consent": {"tcf": string}}
    post(world, "track", {"userId": "ada", "event": "Seen", "context": context})


def imported(world: World) -> None:
    with world.sessions() as session:
        source = sources.settings_of(sources.find(session, "web"))
    row = {"type": "track", "userId": "ada", "event": "Bought", "context": NO}
    assert load.load(world.sessions, source, [row]).accepted == 1


def of_very_many(world: World) -> None:
    """More than there is room for locks: all of them at once."""
    limit = in_use.MOST
    in_use.MOST = 1
    try:
        in_a_batch(world)
    finally:
        in_use.MOST = limit


def renewed(world: World) -> None:
    """A version of the purpose for which nobody has agreed yet."""
    [now] = [p for p in world.get("/v1/purposes")["data"] if p["key"] == EMAIL]
    world.post("/v1/purposes", {**now, "version": now["version"] + 1, "renews": True,
                                "effective_from": None})  # fmt: skip


@pytest.mark.parametrize(
    ("way", "purpose"),
    [
        (stamped, EMAIL),
        (in_a_batch, EMAIL),
        (of_very_many, EMAIL),
        (by_its_browser, ADS),
        (by_a_tc_string, ADS),
        (of_one_vendor, ADS),
        (imported, EMAIL),
        (renewed, EMAIL),
    ],
    ids=lambda found: found.__name__ if callable(found) else found,
)
def test_nothing_arrives_after_an_events_withdrawal_was_committed(
    people: World, way: Way, purpose: str
) -> None:
    for user in ("ada", *(f"other-{n}" for n in range(3))):
        people.say(user, "given", EMAIL, ADS)
    waits(people.sessions, purpose)
    order: list[str] = []
    failed: list[BaseException] = []

    def withdraw() -> None:
        try:
            way(people)
        except BaseException as error:
            failed.append(error)
        order.append("withdrawn")

    thread = threading.Thread(target=withdraw)

    def receive(_: httpx.Request) -> httpx.Response:
        thread.start()
        until_it_waits(people.sessions, thread)
        order.append("received")
        return httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(receive)) as client:
        assert deliver(people.sessions, client) == 1
    thread.join(20)
    assert not failed
    assert order == ["received", "withdrawn"]


def until_it_waits(sessions: Sessions, thread: threading.Thread) -> None:
    """Watch a withdrawal until it waits for a lock that has a name, or is over."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )

    def seen() -> bool:
        with sessions() as session:
            return bool(session.scalar(waiting)) or not thread.is_alive()

    wait_until(seen, 30, what="the withdrawal waits")


def waits(sessions: Sessions, purpose: str) -> None:
    """Let a message about Ada wait for a destination."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        [person] = graph.identify(session, [("user_id", "ada")]).values()
        profile = persons.profile_ids(session, [person])[person]
        made = Destination(
            name="crm", kind="webhook", url="http://crm.test/", secret="whsec_c2VjcmV0",
            purpose=purpose, segments=["s"], enabled=True,
        )  # fmt: skip
        session.add(made)
        session.flush()
        message = Delivery(
            destination_id=made.id, message_id=uuid4(), person_id=person, profile_id=profile,
            type="segment.entered", payload={"segment": "s"}, state="waiting", due_at=now,
            created_at=now,
        )  # fmt: skip
        session.add(message)


def test_a_tc_string_that_is_kept_already_waits_for_nobody(
    people: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site stamps every event, and after a restart none of the strings is remembered."""
    first, second = (
        tc(purposes=range(1, 12), features=[1, 2], vendors=[10], disclosed=[10],
           publisher=range(1, 12), legitimate=legitimate)
        for legitimate in ([], [7])
    )  # fmt: skip
    waited: list[set[int]] = []
    wait = in_use.wait

    def seen(session: Session, identifiers: Collection[int]) -> bool:
        waited.append(set(identifiers))
        return wait(session, identifiers)

    def post_string(string: str, **more: Any) -> None:
        context = {"consent": {"tcf": string}}
        post(people, "track", {"userId": "ada", "event": "Seen", "context": context, **more})

    with people.sessions.begin() as session:
        [ada] = graph.identify(session, [("user_id", "ada")]).values()
    post_string(first)
    monkeypatch.setattr(in_use, "wait", seen)
    # Older than what is remembered, so compared with what is kept.
    post_string(first, timestamp="2026-01-05T10:00:00Z")
    assert not any(waited)
    post_string(second)
    assert waited[-1] == {ada}


def test_what_was_said_by_another_spelling_waits_too(people: World) -> None:
    """It is copied by the pipeline, some moments after it was said."""
    with people.sessions.begin() as session:
        ids = graph.identify(session, [("email", "a.da@mail.test"), ("email", "ada@mail.test")])
        old, new = ids.values()
        said = consent.Choice("email", "ada@mail.test", EMAIL, "refused", datetime.now(UTC), "t")
        consent.record(session, [said], received_at=datetime.now(UTC))
    same = [(old, "email", "a.da@mail.test"), (new, "email", "ada@mail.test")]
    order: list[str] = []

    def copy() -> None:
        with pytest.MonkeyPatch.context() as patch, people.sessions.begin() as session:
            patch.setattr(respelling, "spellings", lambda *_: {1: same})
            spellings.spread(session, [new], now=datetime.now(UTC))
            held = sa.text(
                "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted "
                "AND relation = CAST('consent.purpose' AS regclass)"
            )
            order.extend(mode for mode in session.scalars(held) if mode == "ShareLock")
        order.append("copied")

    thread = threading.Thread(target=copy)
    with in_use.held(people.sessions, [old]):
        thread.start()
        until_it_waits(people.sessions, thread)
        order.append("sent")
    thread.join(20)
    assert order == ["sent", "ShareLock", "copied"], "and nobody adds a purpose meanwhile"
    with people.sessions() as session:
        assert len(consent.history(session, [("email", "a.da@mail.test")])) == 1
