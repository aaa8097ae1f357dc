"""OpenDSR in and out (research/consent.md section 3, 80)."""

import base64
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from app.privacy import opendsr, requests, run
from app.privacy.tables import PrivacyRequest
from tests.app.privacy.conftest import World
from tests.app.privacy.test_erasure import ADA, SENT, ada

ID = "a7551968-d5d6-44b2-9831-815ac9017798"
CALLBACK = "https://controller.test/callbacks"


def body(**more: Any) -> dict[str, Any]:
    return {
        "regulation": "gdpr",
        "subject_request_id": ID,
        "subject_request_type": "erasure",
        "submitted_time": "2026-10-02T15:00:00Z",
        "subject_identities": [
            {"identity_type": "email", "identity_value": SENT, "identity_format": "raw"},
            {"identity_type": "controller_customer_id", "identity_value": "ada-1815",
             "identity_format": "raw"},
        ],
        "api_version": "2.0",
        "status_callback_urls": [CALLBACK],
        **more,
    }  # fmt: skip


@pytest.fixture
def controller(token: Callable[..., dict[str, str]]) -> dict[str, str]:
    return token("privacy:process")


def check(world: World, content: bytes, headers: Any) -> None:
    """Check a signature as a controller does: with the certificate of the server."""
    pem = world.server.get("/.well-known/opendsr-certificate.pem")
    key = x509.load_pem_x509_certificate(pem.content).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert headers["X-OpenDSR-Processor-Domain"] == "parcours.test"
    signature = base64.b64decode(headers["X-OpenDSR-Signature"])
    key.verify(signature, content, ec.ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, content + b" ", ec.ECDSA(SHA256()))


def test_80_an_erasure_is_receipted_told_of_and_its_text_is_in_no_log(
    world: World, controller: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    ada(world)
    called: list[httpx.Request] = []
    answers = [500]

    def unread() -> Iterator[bytes]:
        raise AssertionError("whatever its length, nothing is read of it")
        yield b""

    def answer(request: httpx.Request) -> httpx.Response:
        called.append(request)
        return httpx.Response(answers.pop() if answers else 200, content=unread())

    caplog.set_level(logging.DEBUG)
    sent = json.dumps(body()).encode()
    opened = world.server.post("/opendsr/requests", content=sent, headers=controller)
    assert opened.status_code == 201, opened.text
    check(world, opened.content, opened.headers)
    receipt = opened.json()
    assert base64.b64decode(receipt["encoded_request"]) == sent
    assert receipt["subject_request_id"] == ID
    assert receipt["expected_completion_time"].startswith("2026-11-03")  # 2 November is a Monday
    again = world.server.post("/opendsr/requests", content=sent, headers=controller)
    assert again.json()["received_time"] == receipt["received_time"]

    client = httpx.Client(transport=httpx.MockTransport(answer))
    assert opendsr.call_back(world.sessions, world.settings, client) == 0  # it was down
    run.round_(world.sessions, world.settings)
    with world.sessions.begin() as session:
        found = session.get(PrivacyRequest, UUID(ID))
        assert found is not None
        assert found.protocol is not None
        waits = {CALLBACK: {**found.protocol["callbacks"][CALLBACK], "due": 0}}
        found.protocol = {"callbacks": waits}
    assert opendsr.call_back(world.sessions, world.settings, client) == 1
    assert opendsr.call_back(world.sessions, world.settings, client) == 0
    told = [json.loads(one.content) for one in called]
    assert [one["request_status"] for one in told] == ["pending", "completed"]
    assert {one["status_callback_url"] for one in told} == {CALLBACK}
    check(world, called[-1].content, called[-1].headers)

    status = world.server.get(f"/opendsr/requests/{ID}", headers=controller)
    check(world, status.content, status.headers)
    assert status.json()["request_status"] == "completed"
    assert world.where(*ADA) == set()
    logged = caplog.text.lower()
    assert receipt["encoded_request"].lower() not in logged
    assert not [one for one in ADA if one in logged]


def test_80_results_of_an_access_are_fetched_from_their_address(
    world: World, controller: dict[str, str]
) -> None:
    ada(world)
    sent = body(subject_request_type="access")
    world.server.post("/opendsr/requests", json=sent, headers=controller).raise_for_status()
    run.round_(world.sessions, world.settings)
    told = world.server.get(f"/opendsr/requests/{ID}", headers=controller).json()
    fetched = world.server.get(told["results_url"])
    assert fetched.status_code == 200
    assert fetched.headers["content-type"] == "application/zip"


def test_80_a_request_is_cancelled_while_it_is_pending_and_seen_by_its_client_alone(
    world: World, controller: dict[str, str], token: Callable[..., dict[str, str]]
) -> None:
    path = f"/opendsr/requests/{ID}"
    world.server.post("/opendsr/requests", json=body(), headers=controller).raise_for_status()
    other = token("privacy:process")
    assert world.server.get(path, headers=other).status_code == 404
    assert world.server.delete(path, headers=other).status_code == 404
    taken = world.server.post("/opendsr/requests", json=body(), headers=other)
    assert taken.status_code == 422
    cancelled = world.server.delete(path, headers=controller)
    assert cancelled.status_code == 202
    check(world, cancelled.content, cancelled.headers)
    assert world.server.delete(path, headers=controller).status_code == 409
    told = world.server.get(path, headers=controller).json()
    assert told["request_status"] == "cancelled"


def test_80_only_what_was_carried_out_is_told_as_completed(
    world: World, controller: dict[str, str]
) -> None:
    ends = {
        requests.CLOSED: "completed", requests.NO_MATCH: "completed",
        requests.REFUSED: "cancelled", requests.FAILED: "cancelled",
        requests.PARTLY: "cancelled", requests.REVOKED: "cancelled",
    }  # fmt: skip
    expected = {}
    for state, told in ends.items():
        made = str(uuid4())
        sent = body(subject_request_id=made)
        world.server.post("/opendsr/requests", json=sent, headers=controller).raise_for_status()
        with world.sessions.begin() as session:
            one = requests.find(session, UUID(made), lock=True)
            requests.end(session, one, state, by="test", now=datetime.now(UTC), reason="so it is")
        expected[made] = told
    called: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        called.append(json.loads(request.content))
        return httpx.Response(200)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    assert opendsr.call_back(world.sessions, world.settings, client) == len(ends)
    assert opendsr.call_back(world.sessions, world.settings, client) == 0
    assert {one["subject_request_id"]: one["request_status"] for one in called} == expected
    for made, told in expected.items():
        status = world.server.get(f"/opendsr/requests/{made}", headers=controller).json()
        assert status["request_status"] == told


NOT_TAKEN: tuple[dict[str, Any], ...] = (
    {"subject_request_type": "rectification"},
    {"subject_request_id": "1"},
    {"regulation": "lgpd"},
    {"submitted_time": "yesterday"},
    {"submitted_time": "2026-10-02T15:00:00"},
    {"submitted_time": "0001-01-01T00:00:00+14:00"},
    {"status_callback_urls": ["http://plain.test/"]},
    {"subject_identities": []},
    {"subject_identities": [{"identity_type": "email", "identity_value": "x",
                             "identity_format": "sha256"}]},
    {"subject_identities": [{"identity_type": "email", "identity_value": "no-address",
                             "identity_format": "raw"}]},
)  # fmt: skip


def test_80_what_cannot_be_done_is_refused_without_repeating_it(
    world: World, controller: dict[str, str]
) -> None:
    for more in NOT_TAKEN:
        answer = world.server.post("/opendsr/requests", json=body(**more), headers=controller)
        assert answer.status_code == 422, more
        assert SENT not in answer.text
    for raw in (b"", b"[]", b"{", b"\xff", b"[" * 100_000):
        answer = world.server.post("/opendsr/requests", content=raw, headers=controller)
        assert answer.status_code == 422


def test_80_discovery_says_what_is_taken(world: World, controller: dict[str, str]) -> None:
    found = world.server.get("/opendsr/discovery", headers=controller).json()
    assert found["supported_subject_request_types"] == ["access", "portability", "erasure"]
    assert found["processor_certificate"] == (
        "https://parcours.test/.well-known/opendsr-certificate.pem"
    )
