"""An address that only a page gave to a login is whose it is: it is neither shown nor taken.

Decision 0074: who asks shows their own login, having sent that it has the victim's address.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.access import sources
from app.consents import ages as stating
from app.privacy.gather import NOT_ALONE
from app.privacy.own import own
from app.privacy.rectify import NOT_CARRIED
from app.privacy.subject import LEFT_OUT
from consent import ages, restrictions
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.test_claimed_by_a_page import found, others, packed, send

EVE, ADDRESS = "user_id:u-eve", "victim@example.org"
NAMED = {"id": ADDRESS, "type": "email", "collection": "users", "encoding": "none"}


def claims(world: World) -> None:
    send(world, None, {"type": "identify", "userId": "u-eve", "context": GIVEN,
                       "traits": {"email": ADDRESS}})  # fmt: skip


def agrees(world: World, state: str = "given") -> None:
    said = {"subject": {"namespace": "email", "value": ADDRESS},
            "decisions": [{"purpose": "marketing.email", "state": state}]}  # fmt: skip
    assert world.server.post("/v1/consents", json=said, auth=(world.key, "")).status_code == 200


def restricts(world: World) -> None:
    with world.sessions.begin() as session:
        restrictions.restrict(
            session, [("email", ADDRESS)], restrictions.MARKETING, reason_ref="request:other",
            at=datetime.now(UTC),
        )  # fmt: skip


def is_young(world: World) -> None:
    now = datetime.now(UTC)
    with world.sessions.begin() as session:
        band = ages.Span("teen", now, now + timedelta(days=300))
        stating.state(session, "email", ADDRESS, [band], stated_by="test", at=now)


def on_record(world: World) -> list[int]:
    with world.sessions() as session:
        return [
            session.scalar(sa.text(f"SELECT count(*) FROM {table} WHERE value = :who"),  # noqa: S608 -- constants
                           {"who": ADDRESS}) or 0
            for table in ("consent.record", "consent.restriction", "consent.age_band")
        ]  # fmt: skip


@pytest.mark.parametrize("tells", [agrees, restricts, is_young])
def test_what_its_owner_tells_later_is_not_shown_nor_erased(world: World, tells: Any) -> None:
    claims(world)
    tells(world)
    told = on_record(world)
    facts = packed(world, world.ask("access", EVE))
    assert [facts["consents"], facts["restrictions"], facts["ages"]] == [
        [one for one in facts["consents"] if one["identifier"] == EVE], [], [],
    ]  # fmt: skip
    assert found(world, EVE) == {EVE}
    assert f"email:{ADDRESS}" in others(world, EVE)
    world.ask("erasure", EVE)
    assert on_record(world) == told


def forgotten(world: World) -> None:
    """Events go by retention; links and traits stay."""
    with world.sessions.begin() as session:
        session.execute(sa.text("DELETE FROM app.event"))


def test_nor_is_an_address_of_whose_joining_no_event_is_left(world: World) -> None:
    claims(world)
    forgotten(world)
    assert found(world, EVE) == {EVE}


def test_nor_are_traits_of_which_no_event_is_left(world: World) -> None:
    send(world, None, {"type": "identify", "traits": {"diagnosis": "marker-secret"},
                       "context": {**GIVEN, "externalIds": [NAMED]}})  # fmt: skip
    forgotten(world)
    claims(world)
    assert found(world, EVE) == {EVE}
    assert "marker-secret" not in str(packed(world, world.ask("access", EVE)))
    world.ask("erasure", EVE)
    assert "app.trait" in world.where("marker-secret")


def test_nor_is_what_waits_for_its_owners_answer(world: World) -> None:
    with world.sessions.begin() as session:
        holding = sources.add(
            session, "holds", collection_purpose="analytics.audience", pending_seconds=3600
        )[1]
    asked = {"userId": "u-victim", "event": "marker-held", "writeKey": holding,
             "context": {"externalIds": [NAMED]}}  # fmt: skip
    assert world.server.post("/v1/track", json=asked).json()["held"] == 1
    claims(world)
    assert "marker-held" not in str(packed(world, world.ask("access", EVE)))
    world.ask("erasure", EVE)
    with world.sessions() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM app.held")) == 1


@pytest.mark.parametrize("kind", ["withdraw_all", "restriction", "objection"])
def test_nor_is_anything_denied_in_its_name(world: World, kind: str) -> None:
    claims(world)
    assert world.ask(kind, EVE)["state"] == "closed"
    assert on_record(world) == [0, 0, 0]


def test_its_owner_can_still_come(world: World) -> None:
    claims(world)
    send(world, None, {"type": "track", "userId": ADDRESS, "event": "Came", "context": GIVEN})
    send(world, None, {"type": "track", "userId": "u-friend", "event": "Invited",
                       "context": GIVEN, "properties": {"whom": ADDRESS}})  # fmt: skip
    assert f"email:{ADDRESS}" in found(world, EVE)
    world.ask("erasure", EVE)
    assert world.where("u-eve") == set()
    assert found(world, f"user_id:{ADDRESS}") == {f"user_id:{ADDRESS}"}, "no namesake of Eve's"
    said = {"type": "identify", "userId": "u-victim", "traits": {"email": ADDRESS}}
    assert world.send({**said, "context": GIVEN}) == []
    assert found(world, f"email:{ADDRESS}") == {f"email:{ADDRESS}"}


def test_whom_a_rectification_named_is_found_when_they_come_and_not_shown(world: World) -> None:
    """Nobody proved the new address: the request was shown to be of a login."""
    send(world, None, {"type": "identify", "userId": "u-eve", "context": GIVEN,
                       "traits": {"email": "eve@example.org"}})  # fmt: skip
    details = {"trait": "email", "value": ADDRESS}
    assert world.ask("rectification", EVE, details=details)["state"] == "closed"
    with world.sessions.begin() as session:
        secret = sources.add(session, "shop-server", server_side=True)[1]
    send(world, secret, {"type": "identify", "anonymousId": "victim-device", "context": GIVEN,
                         "traits": {"email": ADDRESS, "diagnosis": "marker-secret"}})  # fmt: skip
    assert found(world, EVE) == {EVE}
    assert "marker-secret" not in str(packed(world, world.ask("access", EVE)))
    assert "anonymous_id:victim-device" in found(world, f"email:{ADDRESS}")


@pytest.mark.parametrize("shown", [True, False])
def test_a_new_address_that_was_shown_is_theirs(world: World, shown: bool) -> None:
    send(world, None, {"type": "identify", "userId": "u-eve", "context": GIVEN,
                       "traits": {"email": "wrong@example.org"}})  # fmt: skip
    new = "email:right@example.org"
    asked = [EVE, "email:wrong@example.org", *([new] if shown else [])]
    details = {"trait": "email", "value": "right@example.org"}
    assert world.ask("rectification", *asked, details=details)["state"] == "closed"
    with world.sessions() as session:
        [mine] = [one for one in own(session, [("user_id", "u-eve")]) if one.namespace == "email"]
    assert mine.proved == shown
    assert (EVE in found(world, new)) == shown


def test_what_somebody_elses_address_denied_is_not_carried_to_who_claims_it(world: World) -> None:
    agrees(world, "refused")
    restricts(world)
    claims(world)
    told = on_record(world)
    details = {"trait": "email", "value": "eve@example.org"}
    done = world.ask("rectification", EVE, details=details)
    result = done["tasks"][0]["result"]
    assert (done["state"], result["not_carried"], result["to_do"]) == ("closed", 1, NOT_CARRIED)
    facts = packed(world, world.ask("access", EVE, "email:eve@example.org"))
    assert facts["restrictions"] == []
    assert {one["state"] for one in facts["consents"]} == {"given"}
    assert on_record(world) == told


def test_nor_do_its_traits_become_theirs(world: World) -> None:
    send(world, None, {"type": "identify", "traits": {"diagnosis": "marker-secret"},
                       "context": {**GIVEN, "externalIds": [NAMED]}})  # fmt: skip
    forgotten(world)
    claims(world)
    details = {"trait": "email", "value": "eve@example.org"}
    assert world.ask("rectification", EVE, details=details)["state"] == "closed"
    asked = world.ask("access", EVE, "email:eve@example.org")
    assert "marker-secret" not in str(packed(world, asked))


def test_who_is_not_found_whole_is_told(world: World) -> None:
    """A card that a page joined with the login may be anybody's, and so may what is computed."""
    card = {"id": "card-9", "type": "loyalty_id", "collection": "users", "encoding": "none"}
    send(world, None, {"type": "identify", "userId": "u-eve", "traits": {"email": ADDRESS},
                       "context": {**GIVEN, "externalIds": [card]}})  # fmt: skip
    shown = (EVE, f"email:{ADDRESS}")
    access = world.ask("access", *shown)
    withheld = packed(world, access)["withheld"]
    assert [one["what"] for one in withheld] == ["computed_traits", "segments"]
    assert all(one["why"] == NOT_ALONE for one in withheld)
    for request, place in (
        (access, "package"),
        (world.ask("portability", *shown), "package"),
        (world.ask("erasure", *shown), "tables"),
    ):
        [result] = [one["result"] for one in request["tasks"] if one["store"] == place]
        assert (result["left_out"], result["to_do"]) == (1, LEFT_OUT)


def test_who_is_found_whole_is_told_nothing_of_it(world: World) -> None:
    claims(world)
    access = world.ask("access", EVE, f"email:{ADDRESS}")
    assert packed(world, access)["withheld"] == []
    assert "left_out" not in access["tasks"][0]["result"]
