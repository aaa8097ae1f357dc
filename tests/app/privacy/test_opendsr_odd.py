"""Requests of OpenDSR in odd but legal forms, and controllers that are away for long."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.privacy import opendsr, run
from app.privacy.tables import PrivacyRequest
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, ada
from tests.app.privacy.test_opendsr import CALLBACK, ID, body


@pytest.fixture
def controller(token: Callable[..., dict[str, str]]) -> dict[str, str]:
    return token("privacy:process")


def identity(kind: str, value: str) -> dict[str, str]:
    return {"identity_type": kind, "identity_value": value, "identity_format": "raw"}


def open_(world: World, controller: dict[str, str], **more: Any) -> tuple[int, str]:
    sent = body(subject_request_id=str(uuid4()), **more)
    answer = world.server.post("/opendsr/requests", json=sent, headers=controller)
    return answer.status_code, answer.text


@pytest.mark.parametrize("kind", ["roku_advertising_id", "Microsoft_Publisher_ID",
                                  "fire_advertising_id", "iosVendorId"])  # fmt: skip
def test_every_device_of_the_specification_is_a_device_here(
    world: World, controller: dict[str, str], kind: str
) -> None:
    """Under a name of its own nobody was found, which was told as completed."""
    device = {"id": "tv-9f3a", "type": "device_id", "collection": "users", "encoding": "none"}
    world.send({"type": "track", "event": "Seen", "userId": "u-9",
                "context": {"externalIds": [device]}})  # fmt: skip
    assert world.where("tv-9f3a")
    answer = open_(world, controller, subject_identities=[identity(kind, "tv-9f3a")])
    assert answer[0] == 201, answer
    run.round_(world.sessions, world.settings)
    assert not world.where("tv-9f3a")


def test_a_type_by_which_nobody_is_known_is_refused_and_never_completed(
    world: World, controller: dict[str, str]
) -> None:
    ada(world)
    for kind in ("crm_number", "e mail", "", "\u202eemail"):
        answer = open_(world, controller, subject_identities=[identity(kind, "ada-1815")])
        assert answer[0] == 422, kind
        assert "ada-1815" not in answer[1]
    assert world.where(*ADA)
    known = {"id": "ada-1815", "type": "crm_number", "collection": "users", "encoding": "none"}
    world.send({"type": "track", "event": "Seen", "userId": "u-2",
                "context": {"externalIds": [known]}})  # fmt: skip
    answer = open_(world, controller, subject_identities=[identity("crm_number", "ada-1815")])
    assert answer[0] == 201, answer


def test_discovery_names_every_type_of_the_specification(
    world: World, controller: dict[str, str]
) -> None:
    told = world.server.get("/opendsr/discovery", headers=controller).json()
    types = {one["identity_type"] for one in told["supported_identities"]}
    assert types >= {
        "controller_customer_id", "android_advertising_id", "android_id", "email",
        "fire_advertising_id", "ios_advertising_id", "ios_vendor_id", "microsoft_advertising_id",
        "microsoft_publisher_id", "roku_publisher_id", "roku_advertising_id",
    }  # fmt: skip


def test_a_controller_that_was_away_for_one_state_is_told_of_the_next(
    world: World, controller: dict[str, str]
) -> None:
    """Twenty tries are of each state: it was never told that all was done."""
    ada(world)
    sent = json.dumps(body()).encode()
    world.server.post("/opendsr/requests", content=sent, headers=controller).raise_for_status()
    with world.sessions.begin() as session:
        found = session.get_one(PrivacyRequest, UUID(ID))
        tried = {"of": "pending", "tries": opendsr.MOST_TRIES, "due": 0}
        found.protocol = {**(found.protocol or {}), "callbacks": {CALLBACK: tried}}
    told: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(json.loads(request.content)["request_status"])
        return httpx.Response(200)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    assert opendsr.call_back(world.sessions, world.settings, client) == 0  # given up
    run.round_(world.sessions, world.settings)
    assert opendsr.call_back(world.sessions, world.settings, client) == 1
    assert told == ["completed"]
