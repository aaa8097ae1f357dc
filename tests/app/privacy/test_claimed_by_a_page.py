"""Whoever has the write key of a page says with it that a login is theirs: it proves nothing.

Decision 0074; research/consent.md 2.9: a strong identifier that was not proved is split off first.
"""

import json
import zipfile
from collections.abc import Collection
from typing import Any

import pytest
import sqlalchemy as sa

from app.access import sources
from app.privacy import subject
from app.privacy.own import own
from identity import erasure, identifiers
from tests.app.privacy.conftest import GIVEN, World

VICTIM = ("u-42", "victim-device-1", "victim@example.org")
#: Who asks: an address that they control, proved by a code that was sent there.
MALLORY = "email:mallory@example.org"


def victim(world: World, key: str | None = None) -> None:
    name, device, address = VICTIM
    send(
        world, key,
        {"type": "page", "anonymousId": device, "context": GIVEN},
        {"type": "identify", "userId": name, "anonymousId": device, "context": GIVEN,
         "traits": {"email": address, "diagnosis": "marker-secret"}},
        {"type": "track", "userId": name, "event": "Bought", "context": GIVEN},
    )  # fmt: skip


def send(world: World, key: str | None, *messages: dict[str, Any]) -> None:
    body = {"batch": messages, "writeKey": key or world.key}
    answer = world.server.post("/v1/batch", json=body)
    assert answer.json()["rejected"] == [], answer.text
    world.settle()


def found(world: World, *shown: str) -> set[str]:
    with world.sessions() as session:
        theirs = own(session, [identifiers.parse(one) for one in shown])
    return {f"{one.namespace}:{one.value}" for one in theirs}


def others(world: World, *shown: str) -> set[str]:
    with world.sessions() as session:
        theirs = own(session, [identifiers.parse(one) for one in shown])
        every = erasure.others(session, [one.id for one in theirs])
    return {f"{one.namespace}:{one.value}" for one in every}


def packed(world: World, shown: dict[str, Any]) -> dict[str, Any]:
    [made] = shown["packages"]
    with zipfile.ZipFile(world.settings.home / "packages" / f"{made['id']}.zip") as archive:
        facts: dict[str, Any] = json.loads(archive.read("data.json"))
    return facts


def says_that_it_is_theirs(world: World) -> None:
    send(world, None, {"type": "identify", "userId": VICTIM[0], "context": GIVEN,
                       "traits": {"email": "mallory@example.org"}})  # fmt: skip


@pytest.mark.parametrize("first", ["the victim", "the address"])
def test_a_login_that_a_page_gave_an_address_is_not_shown_to_who_has_that(
    world: World, first: str
) -> None:
    if first == "the address":  # the person is called by it from then on
        send(world, None, {"type": "identify", "context": GIVEN, "anonymousId": "mallory-device",
                           "traits": {"email": "mallory@example.org"}})  # fmt: skip
    victim(world)
    says_that_it_is_theirs(world)
    with world.sessions.begin() as session:
        session.execute(sa.text(
            "INSERT INTO app.segment (key, name, purpose, rule) VALUES ('marker-segment', 'S',"
            " 'marketing.email', '{\"event\": \"Bought\"}')"))  # fmt: skip
        session.execute(sa.text(
            "INSERT INTO app.segment_member (segment_id, person_id, entered_at)"
            " SELECT s.id, i.person_id, now() FROM app.segment s, identity.identifier i"
            " WHERE i.value = 'u-42'"))  # fmt: skip

    facts = str(packed(world, world.ask("access", MALLORY)))

    assert "mallory@example.org" in facts
    assert [one for one in (*VICTIM, "marker-secret", "marker-segment") if one in facts] == []
    assert "user_id:u-42" in others(world, MALLORY), "the officer sees what was left out"


@pytest.mark.parametrize("kind", ["erasure", "withdraw_all"])
def test_nor_is_anything_done_to_it(world: World, kind: str) -> None:
    victim(world)
    says_that_it_is_theirs(world)
    events = "SELECT count(*) FROM app.event WHERE user_id = 'u-42'"
    said = "SELECT count(*) FROM consent.record WHERE state <> 'given' AND value = ANY(:victim)"
    with world.sessions() as session:
        before = session.scalar(sa.text(events))

    assert world.ask(kind, MALLORY)["state"] == "closed"

    with world.sessions() as session:
        assert session.scalar(sa.text(events)) == before
        assert session.scalar(sa.text(said), {"victim": list(VICTIM)}) == 0
    assert found(world, "user_id:u-42") >= {"user_id:u-42", "anonymous_id:victim-device-1"}
    send(world, None, {"type": "track", "userId": "u-42", "event": "Came", "context": GIVEN})


def test_no_more_is_an_address_that_a_page_gave_the_same_device(world: World) -> None:
    victim(world)
    for address in ("mallory@example.org", VICTIM[2]):
        send(world, None, {"type": "identify", "anonymousId": "made-up", "context": GIVEN,
                           "traits": {"email": address}})  # fmt: skip
    assert found(world, MALLORY) == {MALLORY, "anonymous_id:made-up"}
    assert f"email:{VICTIM[2]}" in others(world, MALLORY)


def seen_on_a_device(world: World) -> None:
    send(world, None, {"type": "identify", "anonymousId": VICTIM[1], "context": GIVEN,
                       "traits": {"email": VICTIM[2]}})  # fmt: skip


def told_by_a_form(world: World) -> None:
    said = {"subject": {"namespace": "email", "value": VICTIM[2]},
            "decisions": [{"purpose": "marketing.email", "state": "given"}]}  # fmt: skip
    assert world.server.post("/v1/consents", json=said, auth=(world.key, "")).status_code == 200


def imported_alone(world: World) -> None:
    name = {"id": VICTIM[2], "type": "email", "collection": "users", "encoding": "none"}
    send(world, None, {"type": "track", "event": "Bought in the shop",
                       "context": {**GIVEN, "externalIds": [name]}})  # fmt: skip


@pytest.mark.parametrize("known", [seen_on_a_device, told_by_a_form, imported_alone])
def test_a_login_takes_no_address_of_which_somebody_else_has_told(world: World, known: Any) -> None:
    known(world)
    send(world, None, {"type": "identify", "userId": "u-mallory", "context": GIVEN,
                       "traits": {"email": VICTIM[2]}})  # fmt: skip
    assert found(world, "user_id:u-mallory") == {"user_id:u-mallory"}
    assert f"email:{VICTIM[2]}" in others(world, "user_id:u-mallory")


def test_a_rectification_takes_nothing_from_whose_address_it_is(world: World) -> None:
    imported_alone(world)
    send(world, None, {"type": "identify", "userId": "u-mallory", "context": GIVEN,
                       "traits": {"email": VICTIM[2]}})  # fmt: skip
    details = {"trait": "email", "value": "mallory@example.org"}
    assert world.ask("rectification", "user_id:u-mallory", details=details)["state"] == "closed"
    acts = (
        "SELECT i.value FROM app.event e JOIN identity.identifier i ON i.id = e.identifier_id"
        " WHERE e.name = 'Bought in the shop'"
    )
    with world.sessions() as session:
        assert session.scalars(sa.text(acts)).all() == [VICTIM[2]]
    assert VICTIM[2] not in str(packed(world, world.ask("access", "user_id:u-mallory")))


def test_who_shows_login_and_address_is_found_with_every_device(world: World) -> None:
    victim(world)
    everything = {f"anonymous_id:phone-{n}" for n in range(3)}
    for device in everything:
        send(world, None, {"type": "identify", "anonymousId": device.split(":")[1],
                           "traits": {"email": VICTIM[2]}, "context": GIVEN})  # fmt: skip
    send(world, None, {"type": "track", "event": "Came", "userId": "u-42", "anonymousId": "tv",
                       "context": {**GIVEN, "device": {"id": "set-top-box"}}})  # fmt: skip
    shown = ("user_id:u-42", f"email:{VICTIM[2]}")
    assert found(world, *shown) >= {
        *shown, *everything, "anonymous_id:victim-device-1", "anonymous_id:tv",
    }  # fmt: skip
    assert all("user_id" not in one for one in found(world, shown[1]))


def test_a_login_alone_takes_the_address_that_only_it_has(world: World) -> None:
    victim(world)
    assert found(world, "user_id:u-42") == {
        "user_id:u-42", "anonymous_id:victim-device-1", f"email:{VICTIM[2]}",
    }  # fmt: skip


def test_what_a_server_joins_is_proved(world: World) -> None:
    with world.sessions.begin() as session:
        secret = sources.add(session, "shop-server", server_side=True)[1]
    victim(world, secret)
    assert found(world, f"email:{VICTIM[2]}") == {
        "user_id:u-42", "anonymous_id:victim-device-1", f"email:{VICTIM[2]}",
    }  # fmt: skip
    says_that_it_is_theirs(world)
    assert found(world, MALLORY) == {MALLORY}


def test_what_was_found_is_what_is_found_again(world: World) -> None:
    """Each step looks anew: it begins with what was shown, not with what came of it."""
    victim(world)
    says_that_it_is_theirs(world)
    shown: Collection[tuple[str, str]] = [identifiers.parse("user_id:u-42")]
    with world.sessions() as session:
        person = subject.find(session, shown)
        assert subject.is_still(session, person)
        assert {one.id for one in own(session, person.shown)} == set(person.ids)
    assert world.ask("access", "user_id:u-42")["state"] == "responded"
