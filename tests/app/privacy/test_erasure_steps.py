"""Steps of an erasure that wait, fail or die (research/consent.md section 3, 75)."""

from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa

from app.db import advisory_lock
from app.destinations.deliver import deliver
from app.errors import PrivacyRequestState
from app.lake import copy
from app.privacy import requests, run
from app.privacy.erasure_steps import STEPS
from app.privacy.step import Outcome, Work
from identity import people
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, SENT, ada, bob, parquet


def destination(world: World, sends_to: list[int]) -> httpx.Client:
    """A destination that was told of Ada; its next answers are these."""
    with world.sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.destination (name, kind, url, secret, purpose, segments, enabled)"
                " VALUES ('mail', 'webhook', 'http://x/', 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkw',"
                " 'marketing.email', '{}', true)"
            )
        )
        person = people.find(session, "user_id", "ada-1815")
        session.execute(
            sa.text(
                "INSERT INTO app.delivery (destination_id, message_id, person_id, profile_id, type,"
                " payload, state, attempts, sent, due_at, created_at)"
                " SELECT d.id, gen_random_uuid(), i.id, i.profile_id, 'segment.entered',"
                " '{\"segment\": \"buyers\"}', 'delivered', 1, true, now(), now()"
                " FROM app.destination d, identity.identifier i WHERE i.id = :person"
            ),
            {"person": person},
        )
    return httpx.Client(
        transport=httpx.MockTransport(
            lambda _: httpx.Response(sends_to.pop(0) if sends_to else 200)
        )
    )


def later(world: World) -> None:
    """Let the time come at which what failed is tried again."""
    with world.sessions.begin() as session:
        for table in ("app.delivery", "app.privacy_task"):
            session.execute(sa.text(f"UPDATE {table} SET due_at = now() - interval '1 s'"))  # noqa: S608 -- two names of ours


def test_75_while_a_destination_fails_the_request_is_not_closed_and_goes_on(world: World) -> None:
    ada(world)
    client = destination(world, [500] * 12)
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    # Who it was is forgotten all the same.
    assert world.where(*ADA, SENT) == set()
    for _ in range(12):  # ten tries are three days; then it begins again
        assert shown["state"] == "executing"
        deliver(world.sessions, client)
        later(world)
        run.round_(world.sessions, world.settings)
        shown = world.shown(shown["id"])
    [task] = [t for t in shown["tasks"] if t["store"] == "destination"]
    assert task["attempts"] >= 1
    assert task["result"]["name"] == "mail"
    with world.sessions.begin() as session:
        found = requests.find(session, UUID(shown["id"]), lock=True)
        with pytest.raises(PrivacyRequestState):
            requests.end(session, found, "closed", by="test", now=datetime.now(UTC))
    deliver(world.sessions, client)
    later(world)
    run.round_(world.sessions, world.settings)
    shown = world.shown(shown["id"])
    assert shown["state"] == "closed"
    assert {t["state"] for t in shown["tasks"] if t["store"] == "destination"} == {"done"}


def test_75_who_has_the_files_of_the_lake_in_hand_is_waited_for(world: World) -> None:
    """They were taken for written, and kept what the person did for an hour or more."""
    ada(world)
    copy.copy_new(world.sessions, world.settings.lake_dir)
    with world.sessions.begin() as session, advisory_lock(session, "lake") as mine:
        assert mine
        shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
        assert shown["state"] == "executing"
    for _ in range(3):
        later(world)
        run.round_(world.sessions, world.settings)
    shown = world.shown(shown["id"])
    [task] = [t for t in shown["tasks"] if t["store"] == "lake"]
    assert (task["state"], task["result"]["files"], shown["state"]) == ("done", 1, "closed")
    assert not [one for one in ADA if one in parquet(world)]


def test_75_a_destination_that_cannot_is_shown_as_such(world: World) -> None:
    ada(world)
    client = destination(world, [501] * 20)
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    for _ in range(12):
        deliver(world.sessions, client)
        later(world)
        run.round_(world.sessions, world.settings)
    shown = world.shown(shown["id"])
    [task] = [t for t in shown["tasks"] if t["store"] == "destination"]
    assert task["state"] == "not_supported"
    assert task["result"]["why"] == "HTTP 501"
    assert shown["state"] == "closed"


@pytest.mark.long
@pytest.mark.parametrize("store", [s for s in STEPS if s not in ("destination", "processor")])
def test_a_step_that_dies_after_its_work_is_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    ada(world)
    bob(world)
    destination(world, [])
    copy.copy_new(world.sessions, world.settings.lake_dir)
    once, step = [True], STEPS[store]

    def dies(work: Work) -> Outcome:
        done = step(work)
        if once:
            once.pop()
            raise RuntimeError(SENT)  # whatever it says is in no log
        return done

    monkeypatch.setitem(STEPS, store, dies)
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    assert {t["store"]: t["state"] for t in shown["tasks"]}[store] == "failed"
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        for _ in range(4):
            later(world)
            deliver(world.sessions, client)
            run.round_(world.sessions, world.settings)
    shown = world.shown(shown["id"])
    assert shown["state"] == "closed"
    assert [t["state"] for t in shown["tasks"] if t["store"] == "destination"] == ["done"]
    assert world.where(*ADA) == set()
    assert not [one for one in ADA if one in parquet(world)]
