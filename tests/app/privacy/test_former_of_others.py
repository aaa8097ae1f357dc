"""An address that was put right may be somebody else's: what they told of it is left to them."""

from datetime import UTC, datetime

from consent import restrictions
from tests.app.privacy.conftest import World
from tests.app.privacy.test_former_addresses import (
    NAMES,
    RIGHT,
    WRONG,
    ida,
    packed,
    right,
    says,
    standing,
)


def test_what_was_told_of_an_address_before_it_came_with_the_person_is_left_to_whose_it_may_be(
    world: World,
) -> None:
    """Somebody whose address it is had unsubscribed; they have sent no event themselves."""
    says(world, WRONG, "marketing.email", "refused")
    ida(world)
    right(world)
    said = standing(world, WRONG)
    assert said["marketing.email"] == "refused"
    assert standing(world, RIGHT)["marketing.email"] == "refused"
    facts = packed(world, world.ask("access", "user_id:former-ida-27"))
    assert facts["former_identifiers"] == []
    assert f"email:{WRONG}" not in {one["identifier"] for one in facts["consents"]}
    world.ask("erasure", "user_id:former-ida-27")
    assert world.where("former-ida-27", RIGHT, "anon-former-ida") == set()
    assert standing(world, WRONG) == said
    assert world.send({"type": "identify", "userId": "x", "traits": {"email": WRONG}}) == []


def test_it_is_erased_with_the_person_when_it_is_asked_for_by_name(world: World) -> None:
    says(world, WRONG, "marketing.email", "refused")
    ida(world)
    right(world)
    world.ask("erasure", "user_id:former-ida-27", f"email:{WRONG}")
    assert world.where(*NAMES) == set()
    said = {"type": "identify", "userId": "x", "traits": {"email": WRONG}}
    assert world.send(said) == ["suppressed"]


def test_what_was_demanded_under_an_address_of_before_is_left_too(world: World) -> None:
    with world.sessions.begin() as session:
        restrictions.restrict(
            session, [("email", WRONG)], restrictions.MARKETING, reason_ref="request:other",
            at=datetime.now(UTC),
        )  # fmt: skip
    ida(world)
    right(world)
    world.ask("erasure", "user_id:former-ida-27")
    with world.sessions() as session:
        [left] = restrictions.of(session, [("email", WRONG)])
    assert left.reason_ref == "request:other"
