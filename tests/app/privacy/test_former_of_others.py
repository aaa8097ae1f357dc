"""An address that was put right may be somebody else's: what they told of it is left to them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.consents import ages as stating
from app.privacy.subject import CONTESTED
from consent import ages, restrictions
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_former_addresses import (
    NAMES,
    NEWER,
    RIGHT,
    WRONG,
    ida,
    packed,
    right,
    says,
    standing,
)


def told(request: dict[str, Any], store: str) -> tuple[int | None, str | None]:
    [result] = [one["result"] for one in request["tasks"] if one["store"] == store]
    return result.get("contested_addresses"), result.get("to_do")


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
    assert told(world.ask("erasure", "user_id:former-ida-27"), "tables") == (1, CONTESTED)
    assert world.where("former-ida-27", RIGHT, "anon-former-ida") == set()
    assert standing(world, WRONG) == said
    assert world.send({"type": "identify", "userId": "x", "traits": {"email": WRONG}}) == []


def test_it_is_erased_with_the_person_when_it_is_asked_for_by_name(world: World) -> None:
    says(world, WRONG, "marketing.email", "refused")
    ida(world)
    right(world)
    # As the officer is told to: in a new request, beside what they have now.
    assert "name it beside what they have now in a new request" in CONTESTED
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


def test_what_came_after_the_persons_event_and_before_its_link_is_theirs(world: World) -> None:
    """The pipeline had not yet read the event when the form told of the address."""
    event = {"type": "identify", "userId": "former-ida-27", "traits": {"email": WRONG},
             "context": GIVEN}  # fmt: skip
    sent = world.server.post("/v1/batch", json={"batch": [event], "writeKey": world.key})
    assert sent.status_code == 200
    says(world, WRONG, "marketing.email", "refused")
    right(world)
    asked = world.ask("access", "user_id:former-ida-27")
    assert told(asked, "package") == (None, None)
    facts = packed(world, asked)
    assert facts["former_identifiers"] == [{"namespace": "email", "value": WRONG}]
    assert f"email:{WRONG}" in {one["identifier"] for one in facts["consents"]}
    assert told(world.ask("erasure", "user_id:former-ida-27"), "tables") == (None, None)
    assert world.where(*NAMES) == set()


def test_an_age_that_was_carried_over_leaves_no_doubt_of_the_address(world: World) -> None:
    ida(world)
    with world.sessions.begin() as session:
        now = datetime.now(UTC)
        band = ages.Span("child", now, now + timedelta(days=300))
        stating.state(session, "email", WRONG, [band], stated_by="test", at=now)
    right(world)
    right(world, NEWER)
    asked = world.ask("access", "user_id:former-ida-27")
    assert told(asked, "package") == (None, None)
    assert {one["value"] for one in packed(world, asked)["former_identifiers"]} == {WRONG, RIGHT}


def test_the_officer_is_told_that_an_address_may_be_somebody_elses(world: World) -> None:
    """Also when the address that took its place was wrong as well; once it is named it is shown."""
    says(world, WRONG, "marketing.email", "refused")
    ida(world)
    right(world)
    right(world, NEWER)
    with world.sessions() as session:
        kept = "SELECT DISTINCT former_id, contested FROM app.former_identifier"
        assert sorted(row.contested for row in session.execute(sa.text(kept))) == [False, True]
    asked = world.ask("access", "user_id:former-ida-27")
    assert told(asked, "package") == (1, CONTESTED)
    assert WRONG not in json.dumps(asked)
    facts = packed(world, asked)
    assert facts["former_identifiers"] == [{"namespace": "email", "value": RIGHT}]
    assert told(world.ask("portability", "user_id:former-ida-27"), "package") == (1, CONTESTED)
    named = world.ask("access", "user_id:former-ida-27", f"email:{WRONG}")
    assert told(named, "package") == (None, None)
    assert {"namespace": "email", "value": WRONG} in packed(world, named)["former_identifiers"]
