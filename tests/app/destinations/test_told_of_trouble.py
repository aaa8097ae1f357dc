"""A destination in trouble is named where operators look, and makes nothing else unready."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.cli import doctor
from app.destinations import trouble
from tests.app.destinations.world import World
from tests.end_to_end.product import wait_until

PROS = {"trait": "plan", "op": "eq", "value": "pro"}


def reasons(people: World) -> list[str]:
    # On a busy machine the database may take more than the two seconds that readyz waits for it.
    def served() -> Any:
        answer = people.server.get("/readyz")
        return answer if answer.status_code == 200 else None

    answer = wait_until(served, 30, what="readyz answers 200")
    return [one for one in answer.json()["reasons"] if one.startswith("the destination")]


def test_who_is_late_cannot_take_back_or_was_switched_off_is_told(people: World) -> None:
    status = [401]
    answered = httpx.MockTransport(lambda _: httpx.Response(status[0]))

    def deliver(code: int) -> None:
        status[0] = code
        people.now()
        people.deliver(httpx.Client(transport=answered))

    def ago(hours: int) -> None:
        with people.sessions.begin() as session:
            moved = "UPDATE app.delivery SET created_at = created_at - make_interval(hours => :n)"
            session.execute(sa.text(moved), {"n": hours})

    def doctored(said: str) -> None:
        with people.sessions() as session, pytest.raises(doctor._Wrong, match=said):
            doctor._destinations(session)

    people.segment("pros", PROS)
    made = people.destination(url="https://crm.example/hook", segments=["pros"])
    people.people("ada", plan="pro")
    deliver(401)
    assert reasons(people) == []
    ago(2)
    [late] = reasons(people)
    assert late.startswith("the destination there is 72")
    assert late.endswith(" s late; it answers 401")
    doctored("there is 72.* s late; it answers 401")
    deliver(200)
    assert reasons(people) == []

    people.say("ada", "withdrawn")
    people.work()
    with people.sessions.begin() as session:  # as after 75 hours of refusals
        session.execute(
            sa.text("UPDATE app.delivery SET state = 'failed' WHERE type LIKE '%exited'")
        )
    kept = "there failed to take back 1 person, who may be held there still"
    assert reasons(people) == [f"the destination {kept}"]
    doctored(kept)
    people.post(f"/v1/destinations/{made['id']}/replay")
    deliver(200)
    assert reasons(people) == []

    people.people("bea", plan="pro")
    deliver(410)
    [gone] = reasons(people)
    assert gone.startswith("the destination there was switched off: ")
    doctored("there was switched off: ")
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": True})
    assert reasons(people) == []
    people.patch(f"/v1/destinations/{made['id']}", {"enabled": False})
    ago(2)
    assert reasons(people) == []  # on purpose
    with people.sessions() as session:
        assert trouble.of_all(session, latest=None) == []
