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
