"""OpenDSR: what was cancelled is sent anew, and what has lapsed signs nothing."""

from datetime import timedelta

import httpx
import sqlalchemy as sa

from app.destinations.deliver import deliver
from app.privacy import run
from tests.app.privacy.conftest import World
from tests.app.privacy.processor import Authority, Mailer
from tests.app.privacy.test_changed_meanwhile import planned
from tests.app.privacy.test_erasure import ada
from tests.app.privacy.test_erasure_steps import destination
from tests.app.privacy.test_forward import authority, mailer, register, rounds, task, told

__all__ = ["authority", "mailer", "told"]


def test_80_what_a_processor_goes_on_saying_it_has_cancelled_is_sent_anew_under_another_id(
    world: World, mailer: Mailer, told: httpx.Client
) -> None:
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    rounds(world, mailer)
    [first] = mailer.requests
    mailer.status[first] = "cancelled"
    again, headers = mailer.callback(first)
    for _ in range(2):  # what is called back twice is one cancellation
        done = world.server.post("/opendsr/callbacks", content=again, headers=headers)
        assert done.status_code == 204
    rounds(world, mailer)
    with world.sessions() as session:
        due = session.scalar(sa.text("SELECT due_at - now() FROM app.processor_request"))
    assert due > timedelta(hours=23)
    assert [*mailer.requests] == [first], "not at once"
    assert task(world, shown["id"])["result"]["why"] == "the processor cancelled it"
    rounds(world, mailer)
    [_, second] = mailer.requests
    assert (
        mailer.requests[second]["subject_identities"]
        == (mailer.requests[first]["subject_identities"])
    )
    mailer.status[second] = "completed"
    rounds(world, mailer)
    assert world.shown(shown["id"])["state"] == "closed"


def test_80_a_certificate_that_lapsed_since_it_was_stored_signs_nothing(
    world: World, mailer: Mailer, told: httpx.Client, authority: Authority
) -> None:
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    rounds(world, mailer)
    [one] = mailer.requests
    lapsed = authority.issue(mailer.key, days=-1)
    with world.sessions.begin() as session:
        session.execute(sa.text("UPDATE app.processor SET certificate = :pem"), {"pem": lapsed})
    mailer.status[one] = "completed"
    body, headers = mailer.callback(one)
    answer = world.server.post("/opendsr/callbacks", content=body, headers=headers)
    assert answer.status_code == 403
    rounds(world, mailer)  # asked for by us, it shows a new one
    assert world.shown(shown["id"])["state"] == "closed"


def test_who_was_told_after_the_plan_and_before_the_erasure_is_asked_too(
    world: World, mailer: Mailer, authority: Authority
) -> None:
    ada(world)
    request_id = planned(world, "erasure")
    with destination(world, []) as client:
        register(world, mailer, authority)
        run.round_(world.sessions, world.settings)
        deliver(world.sessions, client)
        rounds(world, mailer)
    assert task(world, str(request_id))["state"] == "waiting"
    assert len(mailer.requests) == 1
