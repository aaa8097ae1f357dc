"""What an erasure waits for, and who waits for it meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from app import pipeline
from app.consents import in_use
from app.db import Sessions, exclusively
from app.jobs import Worker
from app.segments import looking
from consent import suppression
from tests.app.privacy.conftest import GIVEN, World
from tests.end_to_end.product import wait_until

ADA = {"type": "identify", "userId": "ada-1815", "context": GIVEN}


def waiting(sessions: Sessions) -> bool:
    """Say whether somebody waits for a lock that has a name."""
    asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with sessions() as session:
        return bool(session.scalar(sa.text(asked)))


@contextmanager
def erasing(world: World) -> Iterator[list[str]]:
    """Erase in another thread, which the block finds waiting; the state when it is over."""
    states: list[str] = []
    thread = threading.Thread(
        target=lambda: states.append(
            world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")["state"]
        )
    )
    thread.start()
    try:
        wait_until(lambda: waiting(world.sessions), 20, what="the erasure waits")
        yield states
    finally:
        thread.join(60)


def test_an_erasure_that_waits_for_a_look_at_segments_holds_nobody_up(world: World) -> None:
    world.send(ADA)
    with world.sessions() as session:
        ids = session.scalars(sa.text("SELECT id FROM identity.identifier")).all()
    free = threading.Event()

    def look() -> None:
        with exclusively(world.sessions, "segments") as mine:
            assert mine
            free.wait(60)

    holder = threading.Thread(target=look)
    holder.start()
    try:
        wait_until(lambda: _held(world.sessions), 20)
        with erasing(world) as states:
            try:
                world.server.post(
                    "/v1/track", json={"event": "Seen", "userId": "bob", "writeKey": world.key}
                ).raise_for_status()
                with world.sessions.begin() as session:
                    assert pipeline.step(session).events == 1
                taken = threading.Event()

                def send() -> None:  # a message to the person who is to be erased
                    with in_use.held(world.sessions, ids):
                        taken.set()

                sender = threading.Thread(target=send)
                sender.start()
                assert taken.wait(10)
                sender.join()
                assert not states
            finally:
                free.set()
    finally:
        free.set()
        holder.join()
    assert states == ["closed"]
    assert world.where("ada-1815") == set()


def _held(sessions: Sessions) -> bool:
    asked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with sessions() as session:
        return bool(session.scalar(sa.text(asked)))


def test_an_erasure_waits_for_the_looks_at_segments_under_way_and_not_for_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send(ADA)
    with world.sessions.begin() as session:
        for purpose in (
            "analytics.audience", "content.personalised", "marketing.email", "service.operation",
        ):  # fmt: skip
            session.execute(
                sa.text(
                    "INSERT INTO app.segment (key, name, purpose, rule) "
                    "VALUES (:purpose, 's', :purpose, '{\"event\": \"Order\"}')"
                ),
                {"purpose": purpose},
            )
    erased_at_look: list[bool] = []
    real = looking.look
    with world.sessions() as session:
        assert len(looking.due(session, now=None)) == looking.BESIDE + 1
    begun, states = threading.Event(), list[str]()

    def erase() -> None:
        begun.wait(60)
        states.append(
            world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")["state"]
        )

    def look(session: object, *told: object, **more: object) -> looking.Look:
        erased_at_look.append("identity.identifier" not in world.where("ada-1815"))
        begun.set()
        if len(erased_at_look) <= looking.BESIDE:
            wait_until(lambda: waiting(world.sessions), 20, what="the erasure waits")
        else:
            worker.stop()
        return real(session, *told, **more)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(looking, "look", look)
    worker = Worker(world.sessions, world.settings, "")
    thread = threading.Thread(target=erase)
    thread.start()
    while not worker._stop.is_set():  # what the worker's thread does, once a second
        worker._segments()
    thread.join(60)
    assert states == ["closed"]
    assert erased_at_look == [False] * looking.BESIDE + [True]


def test_an_erasure_and_a_withdrawal_at_once_do_not_wait_for_each_other(world: World) -> None:
    """Who writes holds the list of the erased, and waits for what is being sent."""
    world.send(ADA)
    with world.sessions() as session:
        ids = session.scalars(sa.text("SELECT id FROM identity.identifier")).all()
    with world.sessions.begin() as writer:
        suppression.read_lock(writer)
        with erasing(world) as states:
            assert in_use.wait(writer, ids)
            writer.commit()
    assert states == ["closed"]
