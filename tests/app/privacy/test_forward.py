"""OpenDSR towards destinations (research/consent.md section 3, 80)."""

import base64
import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from app.destinations.deliver import deliver
from app.errors import ProcessorUnusable
from app.privacy import forward, opendsr, processors, requests, run
from tests.app.privacy.conftest import World
from tests.app.privacy.processor import DOMAIN, Authority, Mailer
from tests.app.privacy.test_erasure import ADA, ada
from tests.app.privacy.test_erasure_steps import destination

URL = f"https://{DOMAIN}/v2"
CALLBACK = "https://parcours.test/opendsr/callbacks"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def mailer(authority: Authority) -> Mailer:
    return Mailer(authority)


@pytest.fixture
def told(world: World, mailer: Mailer, authority: Authority) -> httpx.Client:
    """Ada, of whom a destination was told that is a processor; a client for its webhook."""
    ada(world)
    webhook = destination(world, [])
    register(world, mailer, authority)
    return webhook


def register(world: World, mailer: Mailer, authority: Authority, **more: Any) -> None:
    address = processors.read(URL, "Bearer mailer-4711", more.get("registered", authority.pem))
    found = processors.discover(mailer.client, address)
    with world.sessions.begin() as session:
        ours = session.scalar(sa.text("SELECT id FROM app.destination"))
        processors.register(session, ours, address, found)


def later(world: World) -> None:
    with world.sessions.begin() as session:
        for table in ("app.processor_request", "app.privacy_task", "app.delivery"):
            session.execute(sa.text(f"UPDATE {table} SET due_at = now() - interval '1 s'"))  # noqa: S608 -- three names of ours


def rounds(world: World, mailer: Mailer, times: int = 1) -> None:
    for _ in range(times):
        later(world)
        run.round_(world.sessions, world.settings)
        with mailer.client as client:
            forward.forward(world.sessions, world.settings, client)
        run.round_(world.sessions, world.settings)


def task(world: World, request: str) -> dict[str, Any]:
    found: dict[str, Any]
    [found] = [t for t in world.shown(request)["tasks"] if t["store"] == "processor"]
    return found


def test_80_an_erasure_is_passed_on_and_closed_when_the_processor_says_so(
    world: World, mailer: Mailer, told: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    assert mailer.requests == {}
    rounds(world, mailer)

    [(one, sent)] = mailer.requests.items()
    assert UUID(one).version == 4
    assert one != shown["id"]  # processors cannot put together what they were asked
    assert sent["subject_request_type"] == "erasure"
    assert sent["regulation"] == "gdpr"
    assert sent["status_callback_urls"] == [CALLBACK]
    named = {(i["identity_type"], i["identity_value"]) for i in sent["subject_identities"]}
    assert named == {("controller_customer_id", "ada-1815"), ("email", "adalovelace@gmail.com")}
    [post] = [r for r in mailer.seen if r.method == "POST"]
    assert post.headers["authorization"] == "Bearer mailer-4711"
    pem = world.server.get("/.well-known/opendsr-certificate.pem").content
    key = x509.load_pem_x509_certificate(pem).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(
        base64.b64decode(post.headers["x-opendsr-signature"]), post.content, ec.ECDSA(SHA256())
    )
    waits = task(world, shown["id"])
    assert (waits["state"], waits["result"]["status"]) == ("waiting", "pending")
    assert waits["result"]["expected_at"].startswith("2026-12-24T12:00:00")
    assert world.shown(shown["id"])["state"] == "executing"

    mailer.status[one] = "in_progress"
    body, headers = mailer.callback(one)
    assert world.server.post("/opendsr/callbacks", content=body, headers=headers).status_code == 204
    old = (body, headers)
    mailer.status[one] = "completed"
    body, headers = mailer.callback(one)
    assert world.server.post("/opendsr/callbacks", content=body, headers=headers).status_code == 204
    body, headers = old  # comes again, late: it takes nothing back
    assert world.server.post("/opendsr/callbacks", content=body, headers=headers).status_code == 204
    run.round_(world.sessions, world.settings)
    done = world.shown(shown["id"])
    assert (task(world, shown["id"])["state"], done["state"]) == ("done", "closed")
    told_of = [e["status"] for e in done["events"] if e["what"] == "processor"]
    assert told_of == ["pending", "in_progress", "completed"]
    assert world.where(*ADA) == set()
    logged = caplog.text.lower()
    assert base64.b64encode(post.content).decode().lower() not in logged
    assert not [marker for marker in (*ADA, "mailer-4711") if marker in logged]


def test_80_a_processor_that_calls_nobody_back_is_asked(
    world: World, mailer: Mailer, told: httpx.Client
) -> None:
    shown = world.ask("access", "user_id:ada-1815", "email:adalovelace@gmail.com")
    rounds(world, mailer)
    [one] = mailer.requests
    mailer.status[one], mailer.results_url = "completed", f"https://{DOMAIN}/secure/4711"
    rounds(world, mailer)
    assert task(world, shown["id"])["result"]["results_url"] == f"https://{DOMAIN}/secure/4711"
    assert world.shown(shown["id"])["state"] == "responded"
    with world.sessions.begin() as session:
        found = requests.find(session, UUID(shown["id"]), lock=True)
        requests.end(session, found, "closed", by="test", now=datetime.now(UTC))
    assert "results_url" not in task(world, shown["id"])["result"]
    assert world.where("secure/4711") == set()


def test_80_while_a_processor_fails_the_request_is_not_closed_and_goes_on(
    world: World, mailer: Mailer, told: httpx.Client
) -> None:
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    mailer.down = [500] * 3
    rounds(world, mailer, 3)
    failed = task(world, shown["id"])
    assert (failed["state"], failed["result"]["why"]) == ("failed", "HTTP 500")
    assert world.shown(shown["id"])["state"] == "executing"
    rounds(world, mailer)
    [one] = mailer.requests
    mailer.status[one] = "cancelled"
    rounds(world, mailer)
    assert task(world, shown["id"])["result"]["why"] == "the processor cancelled it"
    assert world.shown(shown["id"])["state"] == "executing"
    mailer.status[one] = "completed"
    rounds(world, mailer)
    assert world.shown(shown["id"])["state"] == "closed"
    # The one that failed, and the one that was taken: afterwards it is only asked.
    assert len([r for r in mailer.seen if r.method == "POST"]) == 2


def test_80_what_the_processor_has_not_signed_counts_for_nothing(
    world: World, mailer: Mailer, told: httpx.Client, authority: Authority
) -> None:
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    for wrong, why in (
        ({"signs_as": ec.generate_private_key(ec.SECP256R1())}, "not signed"),
        ({"domain": "other.test"}, "another domain"),
        ({"receipt_of_another": True}, "another request"),
    ):
        right = {name: getattr(mailer, name) for name in wrong}
        vars(mailer).update(wrong)
        mailer.requests.clear()
        rounds(world, mailer)
        assert why in task(world, shown["id"])["result"]["why"]
        vars(mailer).update(right)
    rounds(world, mailer)
    [one] = mailer.requests
    mailer.status[one] = "completed"
    body, headers = mailer.callback(one)
    post = world.server.post
    other = Mailer(authority)  # of the same authority, and not this processor
    forged = {**headers, "X-OpenDSR-Signature": other.signature(body)}
    for head in (
        forged, {}, {**headers, "X-OpenDSR-Signature": "%%"},
        {**headers, "X-OpenDSR-Processor-Domain": "other.test"},
    ):  # fmt: skip
        answer = post("/opendsr/callbacks", content=body, headers=head)
        assert answer.status_code == 403, head
    assert post("/opendsr/callbacks", content=body + b" ", headers=headers).status_code == 403
    for more, status in (
        ({"status_callback_url": "https://elsewhere.test/"}, 422),
        ({"request_status": "forgotten"}, 422),
        ({"subject_request_id": shown["id"]}, 404),
        ({"subject_request_id": "7"}, 422),
    ):
        body, headers = mailer.callback(one, **more)
        assert post("/opendsr/callbacks", content=body, headers=headers).status_code == status
    run.round_(world.sessions, world.settings)
    assert task(world, shown["id"])["state"] == "waiting"


def test_80_what_a_processor_does_not_take_is_shown_as_such(
    world: World, mailer: Mailer, told: httpx.Client, authority: Authority
) -> None:
    mailer.kinds = ["access"]
    register(world, mailer, authority)
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    deliver(world.sessions, told)
    rounds(world, mailer)
    found = task(world, shown["id"])
    assert found["state"] == "not_supported"
    assert found["result"]["why"] == "it takes no request of the type erasure"
    assert mailer.requests == {}
    assert world.shown(shown["id"])["state"] == "closed"


def test_80_identities_are_hashed_where_only_that_is_taken(
    world: World, mailer: Mailer, told: httpx.Client, authority: Authority
) -> None:
    mailer.identities = [["email", "sha256"], ["phone", "raw"]]
    register(world, mailer, authority)
    world.ask("portability", "user_id:ada-1815", "email:adalovelace@gmail.com")
    rounds(world, mailer)
    [sent] = mailer.requests.values()
    assert sent["subject_identities"] == [
        {
            "identity_type": "email",
            "identity_format": "sha256",
            # printf adalovelace@gmail.com | sha256sum
            "identity_value": "cd98a25152ad884b29e524ea5d3d8d35615ed0afbbc5ea3a6d4215572b0b2bde",
        }
    ]


def test_80_a_processor_is_given_no_identifier_that_it_was_not_told(
    world: World, mailer: Mailer, told: httpx.Client
) -> None:
    with world.sessions.begin() as session:
        session.execute(
            sa.text(
                "INSERT INTO app.disclosure (destination_id, purpose, identifier_ids, leaf,"
                " decided_at) SELECT d.id, 'marketing.email', ARRAY[i.id],"
                " CASE i.namespace WHEN 'email' THEN '{\"reason\":\"given\"}'"
                ' ELSE \'{"reason":"told_before"}\' END, now()'
                " FROM app.destination d, identity.identifier i"
            )
        )
    world.ask("access", "user_id:ada-1815", "email:adalovelace@gmail.com")
    rounds(world, mailer)
    [sent] = mailer.requests.values()
    assert [one["identity_type"] for one in sent["subject_identities"]] == ["email"]


def test_80_who_is_not_told_of_the_person_is_not_asked(
    world: World, mailer: Mailer, told: httpx.Client
) -> None:
    world.send({"type": "identify", "userId": "bob-7"})
    shown = world.ask("access", "user_id:bob-7")
    rounds(world, mailer)
    assert mailer.requests == {}
    assert [t["store"] for t in world.shown(shown["id"])["tasks"]] == ["package"]


@pytest.mark.parametrize(
    "wrong", ["lapsed", "other domain", "self-signed", "short", "no authority"]
)
def test_80_a_certificate_that_is_not_the_domains_is_refused(
    authority: Authority, mailer: Mailer, wrong: str
) -> None:
    registered: str | None = authority.pem
    if wrong == "lapsed":
        mailer.pem = authority.issue(mailer.key, days=-1)
    elif wrong == "other domain":
        mailer.pem = authority.issue(mailer.key, "mailer.test")
    elif wrong == "self-signed":
        own = Authority()
        mailer.pem = own.issue(mailer.key)
    elif wrong == "short":
        mailer.pem = authority.issue(rsa.generate_private_key(65_537, 1_024))  # noqa: S505 -- to be refused
    else:
        registered = None
    with pytest.raises(ProcessorUnusable):
        processors.discover(mailer.client, processors.read(URL, None, registered))


def test_80_a_new_certificate_of_the_processor_is_taken_up(
    world: World, mailer: Mailer, told: httpx.Client, authority: Authority
) -> None:
    world.ask("access", "user_id:ada-1815", "email:adalovelace@gmail.com")
    mailer.signs_as = mailer.key = rsa.generate_private_key(65_537, 2_048)
    mailer.pem = authority.issue(mailer.key)
    rounds(world, mailer, 2)
    with world.sessions() as session:
        status = session.scalar(sa.text("SELECT status FROM app.processor_request"))
    assert status == "pending"


def test_80_addresses_that_are_none_are_refused() -> None:
    for url in ("http://plain.test", "https://u:p@x.test", "https://", "x", "https://x.test/?a=1",
                "https://[::1", "ftp://x.test"):  # fmt: skip
        with pytest.raises(ProcessorUnusable):
            processors.read(url, None, None)
    with pytest.raises(ProcessorUnusable):
        processors.read(URL, "Bearer a\r\nX-Other: b", None)


def test_80_two_of_this_product_understand_each_other(
    world: World, told: httpx.Client, token: Callable[..., dict[str, str]]
) -> None:
    """The one that was asked passes it on to itself, as to any other installation."""
    credentials = token("privacy:process")["Authorization"]

    def over(request: httpx.Request) -> httpx.Response:
        answer = world.server.request(
            request.method, str(request.url), content=request.content, headers=request.headers
        )
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    client = httpx.Client(transport=httpx.MockTransport(over))
    own = opendsr.certificate(world.settings).decode()
    address = processors.read("https://parcours.test/opendsr", credentials, own)
    with world.sessions.begin() as session:
        ours = session.scalar(sa.text("SELECT id FROM app.destination"))
        processors.register(session, ours, address, processors.discover(client, address))
    shown = world.ask("erasure", "user_id:ada-1815", "email:adalovelace@gmail.com")
    for _ in range(4):
        later(world)
        deliver(world.sessions, told)
        forward.forward(world.sessions, world.settings, client)
        opendsr.call_back(world.sessions, world.settings, client)
        run.round_(world.sessions, world.settings)
    done = world.shown(shown["id"])
    assert task(world, shown["id"])["result"]["status"] == "completed"
    assert done["state"] == "closed"
    statuses = [e["status"] for e in done["events"] if e["what"] == "processor"]
    assert statuses[0] == "pending"
    assert statuses[-1] == "completed"


def test_80_it_is_registered_over_http_and_credentials_are_shown_to_nobody(
    world: World, mailer: Mailer, authority: Authority, monkeypatch: pytest.MonkeyPatch,
    token: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    destination(world, [])
    with world.sessions() as session:
        ours = session.scalar(sa.text("SELECT id FROM app.destination"))
    path = f"/v1/destinations/{ours}/opendsr"
    officer = token("privacy:process", "privacy:read")
    wanted = {"url": URL, "credentials": "Bearer mailer-4711", "certificate": authority.pem}
    asked = processors.ask
    monkeypatch.setattr(processors, "ask", lambda _, *rest, **m: asked(mailer.client, *rest, **m))
    assert world.server.put(path, json=wanted, headers=token("privacy:read")).status_code == 403
    answer = world.server.put(path, json=wanted, headers=officer)
    assert answer.status_code == 200, answer.text
    assert "mailer-4711" not in answer.text
    assert world.where("mailer-4711") == set()  # sealed
    shown = world.server.get(path, headers=officer).json()
    assert (shown["domain"], shown["has_credentials"]) == (DOMAIN, True)
    valid = datetime.fromisoformat(shown["certificate_valid_until"])
    assert valid > datetime.now(UTC) + timedelta(days=80)
    for bad in ({**wanted, "certificate": None}, {**wanted, "certificate": "x"},
                {**wanted, "url": "http://x.test"}):  # fmt: skip
        refused = world.server.put(path, json=bad, headers=officer)
        assert refused.status_code == 422, bad
        assert json.loads(refused.text)["detail"]
    monkeypatch.undo()
    inside = {"url": "https://127.0.0.1/v2"}  # what only this server reaches
    refused = world.server.put(path, json=inside, headers=officer)
    assert (refused.status_code, "AddressForbidden" in refused.text) == (422, True)
    assert world.server.put("/v1/destinations/999/opendsr", json=wanted,
                            headers=officer).status_code == 404  # fmt: skip
    assert world.server.delete(path, headers=officer).status_code == 204
    assert world.server.get(path, headers=officer).status_code == 404
