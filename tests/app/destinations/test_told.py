"""Receivers that are told what happened end with who is in: by webhook, and by Segment's calls.

What each would hold is folded from its messages alone, and compared with the product, person by
person, after withdrawals, merges, their undo and an erasure.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.privacy import requests as privacy_requests
from app.privacy import run
from app.settings import Settings
from identity import identifiers
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

pytestmark = pytest.mark.long
MAPPING = {"email": {"identifier": "email"}, "first_name": {"trait": "first_name"}}


def by_webhook(receiver: Receiver) -> set[tuple[str, ...]]:
    """Profiles that are in, with the addresses that were told of them last."""
    held: dict[str, tuple[str, ...]] = {}
    for one in receiver.received:
        said = json.loads(one.body)
        data = said["data"]
        held.pop(data["profile_id"], None)
        if said["type"] in ("segment.entered", "profile.updated"):
            addresses = sorted(data["identifiers"]["email"])
            held[data["profile_id"]] = (data["profile_id"], *addresses)
    return set(held.values())


def by_segment(receiver: Receiver) -> set[tuple[str, ...]]:
    """Users whose trait is true, with their other traits, as identify calls have left them."""
    held: dict[str, dict[str, Any]] = {}
    for one in receiver.received:
        for call in json.loads(one.body)["batch"]:
            who = call.get("userId") or call["anonymousId"]
            if call["type"] == "identify":
                held.setdefault(who, {}).update(call["traits"])
    for traits in held.values():
        empty = traits["email"] is None and traits["first_name"] is None
        assert traits["pros"] is not empty, "nothing is left of who is not in"
    return {(t["email"], t["first_name"]) for t in held.values() if t["pros"]}


def members(people: World, kind: str) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for member in people.get("/v1/segments/pros/members")["data"]:
        profile = member["profile_id"]
        read = people.get(f"/v1/profiles/{profile}", purpose="marketing.email")
        emails = [i["value"] for i in read["identifiers"] if i["namespace"] == "email"]
        if kind == "segment":
            found.add((emails[0], read["traits"]["first_name"]))
        else:
            found.add((profile, *sorted(emails)))
    return found


@pytest.mark.parametrize("kind", ["webhook", "segment"])
def test_what_a_receiver_makes_of_its_messages_is_who_is_in(
    people: World, receiver: Receiver, settings: Settings, kind: str
) -> None:
    fold = by_segment if kind == "segment" else by_webhook
    more: dict[str, Any] = {}
    if kind == "segment":
        more = {"secrets": {"write_key": "wk"}, "mapping": MAPPING}
    for user in ("ada", "bob", "eve"):
        people.people(user, plan="pro", first_name=user.title())
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    people.destination(kind=kind, url=receiver.url, segments=["pros"], **more)
    people.settle()
    assert fold(receiver) == members(people, kind)
    people.say("bob", "withdrawn", "marketing.email")
    people.settle()
    assert fold(receiver) == members(people, kind)
    assert len(fold(receiver)) == 2
    people.merge("eve", "dev-1", email="second@mail.net", first_name="Eva")
    people.settle()
    in_all = len(fold(receiver))
    people.undo()
    people.settle()
    assert fold(receiver) == members(people, kind)
    assert (in_all, len(fold(receiver))) == (2, 3)
    _erase(people, settings, "user_id:ada")
    people.now()
    people.deliver()
    assert len(fold(receiver)) == 2
    assert not any("ada@" in str(one) for one in fold(receiver))


def _erase(people: World, settings: Settings, who: str) -> None:
    with people.sessions.begin() as session:
        made = privacy_requests.open_(
            session, settings, kind="erasure", identifiers=[identifiers.parse(who)], by="test",
            now=datetime.now(UTC), attested="a test",
        )  # fmt: skip
        request = made.id
    run.at_once(people.sessions, settings, request)
