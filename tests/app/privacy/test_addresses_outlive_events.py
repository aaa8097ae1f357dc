"""What is kept of an address beside its events is its owner's too, whoever claims it by a page.

Decision 0074: events go by retention, and what matching knows, who was told and what an address
took the place of outlive them.
"""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from app.access import sources
from app.destinations.deliver import deliver
from app.privacy import run
from app.privacy.subject import LEFT_OUT
from identity import graph, identifiers
from tests.app.privacy.conftest import GIVEN, World
from tests.app.privacy.processor import Authority, Mailer
from tests.app.privacy.test_addresses_of_a_page import ADDRESS, EVE, NAMED, claims
from tests.app.privacy.test_changed_meanwhile import planned
from tests.app.privacy.test_claimed_by_a_page import found, packed, send
from tests.app.privacy.test_former_addresses import says, standing
from tests.app.privacy.test_forward import authority, mailer, register, rounds, task

__all__ = ["authority", "mailer"]

THEIRS = f"email:{ADDRESS}"


def only_what_matching_knows(world: World) -> None:
    """A name and a birth date, which an import of its owner brought."""
    said = {"name": "Vic Marker-Secret", "birth_date": "1971-03-04"}
    named = {"externalIds": [NAMED]}
    send(world, None, {"type": "identify", "context": named, "traits": said})
    with world.sessions.begin() as session:
        for table in ("app.event", "app.trait", "app.trait_value"):
            session.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 -- constants


def told_of(world: World, *whom: str) -> httpx.Client:
    """A destination that was told of these together, and what it is reached by."""
    with world.sessions.begin() as session:
        ids = graph.identify(session, [identifiers.parse(one) for one in whom])
        made = session.scalar(sa.text(
            "INSERT INTO app.destination (name, kind, url, secret, purpose, segments, enabled)"
            " VALUES ('marker-secret', 'webhook', 'http://x/',"
            " 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkw', 'marketing.email', '{}', true)"
            " RETURNING id"))  # fmt: skip
        leaf = {"message": str(uuid4()), "kind": "segment.entered", "profile": str(uuid4()),
                "reason": "given"}  # fmt: skip
        session.execute(sa.text(
            "INSERT INTO app.disclosure (destination_id, purpose, decided_at, identifier_ids, leaf)"
            " VALUES (:made, 'marketing.email', now(), :ids, :leaf)"),
            {"made": made, "ids": sorted(ids.values()), "leaf": json.dumps(leaf)})  # fmt: skip
    return httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200)))


def only_who_was_told(world: World) -> None:
    told_of(world, THEIRS)


def who_read_it_and_might_not(world: World) -> None:
    with world.sessions.begin() as session:
        ids = list(graph.identify(session, [identifiers.parse(THEIRS)]).values())
        session.execute(sa.text(
            "INSERT INTO app.person_read (read_at, client_id, operation, identifier_ids)"
            " VALUES (now(), 'marker-secret', 'marker-secret', :ids)"), {"ids": ids})  # fmt: skip
        session.execute(sa.text(
            "INSERT INTO app.denied_use (denied_at, use, purpose, reason, identifier_ids)"
            " VALUES (now(), 'marker-secret', 'ads.share', 'unknown', :ids)"),
            {"ids": ids})  # fmt: skip


def test_who_read_of_an_address_alone_is_not_shown_to_who_claims_it(world: World) -> None:
    who_read_it_and_might_not(world)
    claims(world)
    assert found(world, EVE) == {EVE, THEIRS}
    for shown, count in ((EVE,), 0), ((EVE, THEIRS), 2):
        facts = packed(world, world.ask("access", *shown))
        assert len(facts["reads"]) + len(facts["denials"]) == count


def test_what_it_did_with_another_whose_link_was_taken_back_is_not_theirs(world: World) -> None:
    tablet = {"id": "9f86d081884c7d65-tablet"}
    send(world, None, {"type": "track", "event": "marker-secret",
                       "context": {"externalIds": [NAMED], "device": tablet}})  # fmt: skip
    with world.sessions.begin() as session:
        session.execute(sa.text("UPDATE identity.link SET revoked_at = now()"))
    claims(world)
    assert found(world, EVE) == {EVE}
    assert "marker-secret" not in str(packed(world, world.ask("access", EVE)))
    world.ask("erasure", EVE)
    assert "app.event" in world.where("marker-secret")


def left(world: World) -> tuple[int, int]:
    with world.sessions() as session:
        return tuple(session.execute(sa.text(
            "SELECT (SELECT count(*) FROM identity.record), (SELECT count(*) FROM app.disclosure)"
        )).one())  # fmt: skip


@pytest.mark.parametrize("known", [only_what_matching_knows, only_who_was_told])
def test_what_outlives_its_owners_events_is_not_shown_nor_erased(world: World, known: Any) -> None:
    known(world)
    before = left(world)
    claims(world)
    assert found(world, EVE) == {EVE}
    assert "marker-secret" not in str(packed(world, world.ask("access", EVE))).lower()
    world.ask("erasure", EVE)
    assert left(world) == before
    assert found(world, THEIRS) == {THEIRS}


def test_nor_is_an_address_that_it_took_the_place_of(world: World) -> None:
    """Its owner had a wrong one put right, and nothing else is left of them."""
    wrong = "marker-secret@example.org"
    named = {"externalIds": [{**NAMED, "id": wrong}]}
    send(world, None, {"type": "identify", "context": named, "traits": {"email": wrong}})
    details = {"trait": "email", "value": ADDRESS}
    asked = world.ask("rectification", f"email:{wrong}", THEIRS, details=details)
    assert asked["state"] == "closed"
    with world.sessions.begin() as session:
        for table in ("app.event", "app.trait", "app.trait_value", "identity.record"):
            session.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 -- constants
    claims(world)
    assert "marker-secret" not in str(packed(world, world.ask("access", EVE)))


def test_an_address_that_nobody_showed_brings_its_owner_nothing_of_who_claimed_it(
    world: World,
) -> None:
    """Eve mistypes her new address in a request for her login: it is somebody else's."""
    old = "eve-before@example.org"
    send(world, None, {"type": "identify", "userId": "u-eve", "context": GIVEN,
                       "traits": {"email": old}})  # fmt: skip
    says(world, old, "marketing.email", "refused")
    details = {"trait": "email", "value": ADDRESS}
    asked = world.ask("rectification", EVE, f"email:{old}", details=details)
    assert asked["state"] == "closed"
    facts = packed(world, world.ask("access", THEIRS))
    assert facts["former_identifiers"] == []
    assert old not in str(facts)
    before = standing(world, old)
    world.ask("erasure", THEIRS)
    assert standing(world, old) == before
    mine = packed(world, world.ask("access", EVE))
    assert {"namespace": "email", "value": old} in mine["former_identifiers"]


def test_an_address_that_a_page_gave_is_not_passed_on_to_who_was_told(
    world: World, mailer: Mailer, authority: Authority
) -> None:
    claims(world)
    with told_of(world, EVE, THEIRS) as client:
        register(world, mailer, authority)
        one = world.ask("access", EVE)
        both = world.ask("access", EVE, THEIRS)
        rounds(world, mailer)
        assert deliver(world.sessions, client) == 0
    sent = sorted(
        sorted(i["identity_value"] for i in asked["subject_identities"])
        for asked in mailer.requests.values()
    )
    assert sent == [["u-eve"], ["u-eve", ADDRESS]]
    assert {task(world, asked["id"])["state"] for asked in (one, both)} == {"waiting"}


def test_nor_is_anything_passed_on_to_who_was_told_of_its_owner_alone(
    world: World, mailer: Mailer, authority: Authority
) -> None:
    claims(world)
    told_of(world, EVE, THEIRS)
    with world.sessions.begin() as session:  # what was sent of the login was not by that
        session.execute(sa.text(
            "UPDATE app.disclosure SET identifier_ids = ARRAY(SELECT id FROM identity.identifier"
            " WHERE value <> 'u-eve')"))  # fmt: skip
    register(world, mailer, authority)
    asked = world.ask("access", EVE)
    assert [t for t in asked["tasks"] if t["store"] == "processor"] == []


def test_an_address_that_was_proved_while_an_erasure_waited_is_erased_whole(world: World) -> None:
    claims(world)
    request_id = planned(world, "erasure", EVE)
    with world.sessions.begin() as session:
        secret = sources.add(session, "shop-server", server_side=True)[1]
    send(world, secret, {"type": "identify", "userId": "u-eve", "context": GIVEN,
                         "traits": {"email": ADDRESS}})  # fmt: skip
    says(world, ADDRESS, "marketing.email", "given")
    run.round_(world.sessions, world.settings)
    assert world.shown(request_id)["state"] == "closed"
    assert world.where("u-eve", ADDRESS) == set()
    said = {"type": "identify", "userId": "u-other", "traits": {"email": ADDRESS}}
    assert world.send(said) == ["suppressed"]


@pytest.mark.parametrize("kind", ["withdraw_all", "restriction", "objection"])
def test_who_is_left_out_of_a_refusal_is_told_to_the_officer(world: World, kind: str) -> None:
    claims(world)
    says(world, ADDRESS, "marketing.email", "given")
    [task_] = world.ask(kind, EVE)["tasks"]
    assert (task_["result"]["left_out"], task_["result"]["to_do"]) == (1, LEFT_OUT)
