"""A request acts on the person as they are when it acts, not as they were when it was planned."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

from app import pipeline
from app.db import advisory_lock
from app.destinations.deliver import deliver
from app.lake import copy
from app.ledger import seal
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.privacy import erasure_steps, journal, redact, requests, run
from app.privacy.replay import replay
from identity import graph, identifiers, people
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_erasure import ADA, ada, bob, parquet
from tests.app.privacy.test_erasure_steps import destination
from tests.app.privacy.test_erasure_steps import later as due
from tests.app.privacy.test_former_addresses import packed

LATER = {"type": "track", "userId": "ada-1815", "anonymousId": "anon-ada-later", "event": "Seen",
         "context": GIVEN}  # fmt: skip


def planned(world: World, kind: str, who: str = "user_id:ada-1815") -> UUID:
    """A request that is planned and of which nothing is done yet."""
    with world.sessions.begin() as session:
        made = requests.open_(
            session, world.settings, kind=kind,
            identifiers=[identifiers.parse(who)], by="test",
            now=datetime.now(UTC), attested="a test",
        )  # fmt: skip
        request_id = made.id
    run._plan(world.sessions, request_id)
    return request_id


def apart(world: World, one: str, *others: str) -> None:
    """A reviewer decides that these are somebody else's."""
    with world.sessions.begin() as session:
        left, *right = (
            people.find_identifier(session, *name.split(":", 1)) for name in (one, *others)
        )
        assert left is not None
        for other in right:
            assert other is not None
            people.keep_apart(session, left, other, by="test", reason="a call")
        found = [left, *(i for i in right if i is not None)]
        pipeline.after_move(session, graph.reconsider(session, found, at=datetime.now(UTC)))


def test_who_came_to_the_person_after_the_plan_is_erased_too(world: World) -> None:
    ada(world)
    request_id = planned(world, "erasure")
    assert world.send(LATER) == []
    run.round_(world.sessions, world.settings)
    done = world.shown(request_id)
    assert done["state"] == "closed"
    assert "person_changed" in [one["what"] for one in done["events"]]
    assert world.where(*ADA, "anon-ada-later") == set()
    later = {"type": "page", "anonymousId": "anon-ada-later", "context": GIVEN}
    assert world.send(later) == ["suppressed"]


def test_who_came_to_the_person_while_it_waited_for_its_locks_is_erased_too(
    world: World,
) -> None:
    """And whoever was told of them is asked to erase them too (GDPR art. 19)."""
    ada(world)
    request_id = planned(world, "erasure")
    clients: list[httpx.Client] = []

    def joined() -> None:
        clients.append(destination(world, []))
        world.send(LATER)
        with world.sessions.begin() as session:  # of the device, before it was found to be Ada's
            session.execute(
                sa.text("UPDATE app.delivery SET person_id = i.id, profile_id = i.profile_id "
                        "FROM identity.identifier i WHERE i.value = 'anon-ada-later'")
            )  # fmt: skip

    acts: list[Callable[[], Any]] = [joined]

    def listen(_c: object, _u: object, _t: str, parameters: Any, *_: object) -> None:
        if "'job': 'segments'" in str(parameters) and acts:
            acts.pop()()

    engine = world.sessions.kw["bind"]
    sa.event.listen(engine, "before_cursor_execute", listen)
    run.round_(world.sessions, world.settings)
    assert acts == []
    shown = world.shown(request_id)
    [asked] = [task for task in shown["tasks"] if task["store"] == "destination"]
    assert (shown["state"], asked["state"]) == ("executing", "waiting")
    assert deliver(world.sessions, clients[0]) == 1
    due(world)
    run.round_(world.sessions, world.settings)
    assert world.shown(request_id)["state"] == "closed"
    assert world.where(*ADA, "anon-ada-later") == set()
    later = {"type": "page", "anonymousId": "anon-ada-later", "context": GIVEN}
    assert world.send(later) == ["suppressed"]
    assert replay(world.sessions, world.settings) == 0


def test_who_is_somebody_else_by_now_is_neither_erased_nor_shown(world: World) -> None:
    ada(world)
    asked = {kind: planned(world, kind) for kind in ("access", "erasure")}
    apart(world, "anonymous_id:anon-ada-77", "user_id:ada-1815", "email:adalovelace@gmail.com")
    run.carry_out(world.sessions, world.settings, asked["access"])
    facts = packed(world, world.shown(asked["access"]))
    assert "anon-ada-77" not in str(facts["identifiers"])
    assert {one["user_id"] for one in facts["events"]} == {"ada-1815"}
    run.carry_out(world.sessions, world.settings, asked["erasure"])
    assert "app.event" in world.where("anon-ada-77")
    assert world.where("ada-1815") == set()
    assert world.send({"type": "page", "anonymousId": "anon-ada-77", "context": GIVEN}) == []


def test_nobody_is_shown_to_who_claims_what_was_put_right_meanwhile(world: World) -> None:
    """Whoever has the address was never the person."""
    ada(world)
    with world.sessions.begin() as session:
        made = requests.open_(
            session, world.settings, kind="access",
            identifiers=[("email", "adalovelace@gmail.com")], by="test",
            now=datetime.now(UTC), attested="a code that was sent there",
        )  # fmt: skip
        request_id = made.id
    run._plan(world.sessions, request_id)
    details = {"trait": "email", "value": "countess@example.org"}
    assert world.ask("rectification", "user_id:ada-1815", details=details)["state"] == "closed"
    run.carry_out(world.sessions, world.settings, request_id)
    assert world.shown(request_id)["state"] == "no_match"


def test_what_was_found_for_somebody_goes_with_whom_it_is_of(world: World) -> None:
    """A package of both holds what the login did; an erasure of that takes it."""
    ada(world)
    made = world.ask(
        "access", "user_id:ada-1815", "email:adalovelace@gmail.com", "email:adalovelace@gmail.com"
    )
    apart(world, "user_id:ada-1815", "email:adalovelace@gmail.com", "anonymous_id:anon-ada-77")
    world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert list((world.settings.home / "packages").iterdir()) == []
    assert world.shown(made["id"])["state"] == "closed"


@pytest.mark.parametrize(
    ("where", "what"),
    [(redact, "rejected"), (redact, "others"), (Keystore, "destroy"), (copy, "rewrite_removed")],
)
def test_72_a_repeated_erasure_that_is_killed_anywhere_is_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch, where: Any, what: str
) -> None:
    ada(world)
    bob(world)
    world.server.post("/v1/track", json={"userId": "ada-1815", "writeKey": world.key})
    keystore = Keystore(world.settings)
    seal.run(world.sessions, keystore, Anchor(world.settings.anchor_dir), host="h.example")
    mine = [("user_id", "ada-1815")]
    assert keystore.existing(mine).keys() == set(mine)
    write = journal.append

    def crash(*given: Any) -> None:
        write(*given)
        raise KeyboardInterrupt

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    with monkeypatch.context() as patch:
        patch.setattr(where, what, killed)
        with pytest.raises(KeyboardInterrupt):
            replay(world.sessions, world.settings)
    assert "app.erasure_left" in world.where("ada-1815")
    replay(world.sessions, world.settings)
    assert world.where(*ADA) <= {"app.privacy_request"}  # which is still open, and goes on
    assert keystore.existing(mine) == {}
    keystore.close()
    assert replay(world.sessions, world.settings) == 0
    run.round_(world.sessions, world.settings)
    assert world.where(*ADA) == set()


def test_72_keys_are_destroyed_while_nobody_seals(world: World) -> None:
    ada(world)
    keystore = Keystore(world.settings)
    seal.run(world.sessions, keystore, Anchor(world.settings.anchor_dir), host="h.example")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure_steps, "ledger", erasure_steps.models)
        patch.setitem(run.PLANS["erasure"], "ledger", erasure_steps.models)
        world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    mine = [("user_id", "ada-1815")]
    assert keystore.existing(mine).keys() == set(mine)
    with world.sessions.begin() as session:  # as a restored database has it, but for the keys
        session.execute(
            sa.text(
                "INSERT INTO app.erasure_left (erasure_id, subject) SELECT id,"
                ' \'{"identifiers": [["user_id", "ada-1815"]]}\' FROM consent.erasure'
            )
        )
    done = threading.Event()

    def repeat() -> None:
        replay(world.sessions, world.settings)
        done.set()

    repeating = threading.Thread(target=repeat)
    with world.sessions.begin() as session, advisory_lock(session, seal.LOCK) as sealing:
        assert sealing
        repeating.start()
        assert not done.wait(1)
        assert keystore.existing(mine).keys() == set(mine)
    repeating.join(20)
    assert done.is_set()
    assert keystore.existing(mine) == {}
    keystore.close()


def test_72_a_restored_erasure_waits_for_who_has_the_files_of_the_lake(world: World) -> None:
    ada(world)
    copy.copy_new(world.sessions, world.settings.lake_dir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(run.PLANS["erasure"], "lake", erasure_steps.models)
        world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert "home" in parquet(world)
    with world.sessions.begin() as session:  # as a restored database has it
        session.execute(
            sa.text(
                "INSERT INTO app.erasure_left (erasure_id, subject) SELECT id,"
                ' \'{"identifiers": [["user_id", "ada-1815"]]}\' FROM consent.erasure'
            )
        )
    repeating = threading.Thread(target=replay, args=(world.sessions, world.settings))
    with world.sessions.begin() as session, advisory_lock(session, "lake") as copying:
        assert copying
        repeating.start()
        repeating.join(1.5)
        assert repeating.is_alive()
        assert "home" in parquet(world)
        with world.sessions() as other:
            assert other.scalar(sa.text("SELECT count(*) FROM app.erasure_left")) == 1
    repeating.join(20)
    assert not repeating.is_alive()
    assert "home" not in parquet(world)
    assert "app.erasure_left" not in world.where("ada-1815")
