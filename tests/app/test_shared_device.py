"""Check 42: what one says on a device that two use is neither the other's word nor the device's."""

from datetime import UTC, datetime

from app.consents import explain
from app.profiles import read
from tests.app.privacy.conftest import World, world

__all__ = ["world"]
PURPOSE = "analytics.audience"


def allowed(world: World, subject: str) -> tuple[bool, str]:
    now = datetime.now(UTC)
    with world.sessions() as session:
        found = read.find(session, subject)
        [answer] = explain.explain(
            session, found.person_id, found.acting_id, at=now, known_at=now, purpose=PURPOSE
        )
    return answer.decision.allow, answer.decision.reason


def test_42_on_a_shared_device_an_accounts_choice_is_its_own(world: World) -> None:
    for user in ("xavier", "yvonne"):
        world.send(
            {"type": "page", "name": "Home", "anonymousId": "tablet-1"},
            {"type": "identify", "userId": user, "anonymousId": "tablet-1"},
            {"type": "track", "event": "Logged Out", "userId": user, "anonymousId": "tablet-1"},
        )
        if user == "xavier":
            said = {
                "subject": {"namespace": "user_id", "value": "xavier"},
                "decisions": [{"purpose": PURPOSE, "state": "given"}],
            }
            answer = world.server.post("/v1/consents", json=said, auth=(world.key, ""))
            assert answer.status_code == 200, answer.text
    assert allowed(world, "user_id:xavier") == (True, "given")
    assert allowed(world, "user_id:yvonne") == (False, "unknown")
    assert allowed(world, "anonymous_id:tablet-1") == (False, "unknown")


def test_the_choice_of_one_customer_is_not_that_of_the_others_whom_an_agent_identified(
    world: World,
) -> None:
    """The first five were one person with the agent: one's yes was everybody's."""
    people = [f"customer{n}@mail.net" for n in range(8)]
    for n, mail in enumerate(people):
        own = {"type": "identify", "anonymousId": f"phone-{n}", "traits": {"email": mail}}
        call = {"type": "identify", "userId": "agent", "anonymousId": "browser",
                "traits": {"email": mail}}  # fmt: skip
        world.send(*((own, call) if n % 2 else (call, own)))
    said = {
        "subject": {"namespace": "anonymous_id", "value": "phone-0"},
        "decisions": [{"purpose": PURPOSE, "state": "given"}],
    }
    answer = world.server.post("/v1/consents", json=said, auth=(world.key, ""))
    assert answer.status_code == 200, answer.text
    assert allowed(world, f"email:{people[0]}") == (True, "given")
    for n, mail in enumerate(people[1:], 1):
        assert allowed(world, f"email:{mail}") == (False, "unknown")
        assert allowed(world, f"anonymous_id:phone-{n}") == (False, "unknown")
    assert allowed(world, "user_id:agent") == (False, "unknown")
    assert allowed(world, "anonymous_id:browser") == (False, "unknown")


def test_the_choice_of_one_is_not_the_others_on_a_cookie_that_both_used_without_a_login(
    world: World,
) -> None:
    for who in ("xavier", "yvonne"):
        mail = {"email": f"{who}@mail.net"}
        world.send({"type": "identify", "userId": who, "traits": mail},
                   {"type": "identify", "anonymousId": "tablet-1", "traits": mail})  # fmt: skip
    said = {
        "subject": {"namespace": "anonymous_id", "value": "tablet-1"},
        "decisions": [{"purpose": PURPOSE, "state": "given"}],
    }
    answer = world.server.post("/v1/consents", json=said, auth=(world.key, ""))
    assert answer.status_code == 200, answer.text
    for who in ("xavier", "yvonne"):
        assert allowed(world, f"email:{who}@mail.net") == (False, "unknown")
        assert allowed(world, f"user_id:{who}") == (False, "unknown")
