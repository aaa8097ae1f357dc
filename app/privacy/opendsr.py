"""Requests in the form of OpenDSR 2.0: what a controller sends us, signed receipts and callbacks.

github.com/opengdpr/OpenDSR, specification.md. The signature is ECDSA on P-256 over SHA-256, under a
key derived from the newest key of the suppression list, and its certificate is our own: whoever
checks it takes the certificate from this server, over TLS.
"""

import base64
import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import msgspec
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy.orm import Session

from app.db import Sessions
from app.errors import (
    PrivacyRequestDiffers,
    PrivacyRequestInvalid,
    PrivacyRequestNotFound,
    PrivacyRequestState,
)
from app.privacy import package_store, requests, token
from app.privacy.tables import PrivacyRequest
from app.settings import Settings
from app.suppression import gate
from identity import identifiers, people

log = logging.getLogger("parcours.privacy")

VERSION = "2.0"
TYPES = ("access", "portability", "erasure")
REGULATIONS = {"gdpr": "gdpr", "ccpa": "ccpa"}
#: What the specification calls identifiers, by our namespaces; others are named as they are.
NAMESPACES = {
    "controller_customer_id": "user_id",
    "android_advertising_id": "device_id",
    "android_id": "device_id",
    "fire_advertising_id": "device_id",
    "ios_advertising_id": "device_id",
    "ios_vendor_id": "device_id",
    "microsoft_advertising_id": "device_id",
    "microsoft_publisher_id": "device_id",
    "roku_advertising_id": "device_id",
    "roku_publisher_id": "device_id",
}
PENDING, IN_PROGRESS, COMPLETED, CANCELLED = "pending", "in_progress", "completed", "cancelled"
#: States of what was carried out whole: `completed` says that a request has been fulfilled
#: (specification, section 8), so one that was refused, failed or met in part is none.
FULFILLED = (requests.RESPONDED, requests.CLOSED, requests.NO_MATCH)
#: How often a callback is tried, and how long to wait at most in between, in seconds.
MOST_TRIES, LONGEST_WAIT = 20, 3_600.0


class Identity(msgspec.Struct, frozen=True):
    """One identifier of the person."""

    identity_type: str
    identity_value: str
    identity_format: str


class Wanted(msgspec.Struct, frozen=True):
    """A request as a controller sends it; what else it says is passed over."""

    subject_request_id: UUID
    subject_request_type: str
    submitted_time: datetime
    subject_identities: list[Identity]
    regulation: str = "gdpr"
    api_version: str = VERSION
    status_callback_urls: list[str] = []


def read(body: bytes) -> Wanted:
    """Read a request; raises PrivacyRequestInvalid, which says where, and never what."""
    try:
        wanted = msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PrivacyRequestInvalid(f"not of the form of OpenDSR {VERSION}") from error
    if wanted.subject_request_type not in TYPES or wanted.regulation not in REGULATIONS:
        raise PrivacyRequestInvalid(f"supported are {', '.join(TYPES)} under gdpr or ccpa")
    if any(one.identity_format != "raw" for one in wanted.subject_identities):
        raise PrivacyRequestInvalid("identities must be raw: hashes of others name nobody here")
    if any(not url.startswith("https://") for url in wanted.status_callback_urls):
        raise PrivacyRequestInvalid("callbacks go to https addresses")
    if wanted.submitted_time.tzinfo is None or len(wanted.status_callback_urls) > 10:
        raise PrivacyRequestInvalid("a time needs its zone, and ten callbacks are enough")
    return wanted


def open_(
    session: Session,
    settings: Settings,
    wanted: Wanted,
    body: bytes,
    *,
    client_id: str,
    now: datetime,
) -> PrivacyRequest:
    """Open a request, or return the one that was opened before by the same body.

    The controller has checked who asks (specification, roles). Raises PrivacyRequestInvalid, and
    PrivacyRequestDiffers for another body under an id that was used: the receipt signs the body.
    """
    refs = _body_refs(body)
    requests.one_at_a_time(session)
    known = session.get(PrivacyRequest, wanted.subject_request_id)
    if known is not None:
        if known.protocol is None or known.opened_by != client_id:
            raise PrivacyRequestInvalid("this subject_request_id is taken")
        if known.protocol.get("body") not in refs:
            raise PrivacyRequestDiffers("send it as it was, or with an id of its own")
        return known
    return requests.open_(
        session,
        settings,
        kind=wanted.subject_request_type,
        identifiers=[_identifier(session, one) for one in wanted.subject_identities],
        by=client_id,
        now=now,
        regime=REGULATIONS[wanted.regulation],
        attested="the controller, by OpenDSR",
        received_at=min(wanted.submitted_time, now),
        protocol={
            "callbacks": {url: {} for url in wanted.status_callback_urls},
            "body": refs[0],
        },
        request_id=wanted.subject_request_id,
    )


def _identifier(session: Session, one: Identity) -> tuple[str, str]:
    """Return an identity as we write it; raises PrivacyRequestInvalid, IdentifierInvalid.

    Nobody here is known by a type that nothing has: to call a request about it completed would tell
    the controller that somebody was erased whom it calls otherwise here.
    """
    said = identifiers.canonical_namespace(one.identity_type)
    namespace = NAMESPACES.get(said, said)
    if namespace not in identifiers.NAMESPACES and not people.has_any(session, namespace):
        raise PrivacyRequestInvalid(
            "an identity_type that nobody is known by here: see /opendsr/discovery"
        )
    return identifiers.parse(f"{namespace}:{one.identity_value}")


def _body_refs(body: bytes) -> list[str]:
    """Return the hash of a body under each key, the newest first.

    With a key, since a body names the person, and its hash outlives an erasure.
    """
    digest = hashlib.sha256(body).hexdigest()
    return [ref.hex() for ref in gate.keys_or_new().refs("opendsr.body", digest)]


def find(
    session: Session, request_id: str, *, client_id: str, lock: bool = False
) -> PrivacyRequest:
    """Return a request that this client opened; raises PrivacyRequestNotFound."""
    try:
        found = requests.find(session, UUID(request_id), lock=lock)
    except ValueError as error:
        raise PrivacyRequestNotFound("") from error
    if found.protocol is None or found.opened_by != client_id:
        raise PrivacyRequestNotFound("")
    return found


def cancel(session: Session, request: PrivacyRequest, *, by: str, now: datetime) -> None:
    """Cancel a request that is pending; raises PrivacyRequestState later."""
    if status_of(request) != PENDING:
        raise PrivacyRequestState("it is not pending any more")
    requests.end(session, request, requests.REVOKED, by=by, now=now)


def status_of(request: PrivacyRequest) -> str:
    """Return where a request is, in the words of the specification."""
    if request.state in FULFILLED:
        return COMPLETED
    if request.closed_at is not None:
        return CANCELLED
    return IN_PROGRESS if request.state == requests.EXECUTING else PENDING


def receipt(request: PrivacyRequest, body: bytes) -> dict[str, Any]:
    """Return the answer to a new request. `encoded_request` is for the caller: log it never."""
    return {
        "controller_id": request.opened_by,
        "expected_completion_time": request.due_at.isoformat(),
        "received_time": request.received_at.isoformat(),
        "encoded_request": base64.b64encode(body).decode(),
        "subject_request_id": str(request.id),
    }


def status(session: Session, settings: Settings, request: PrivacyRequest) -> dict[str, Any]:
    """Return the status, with where to fetch the results for a short time."""
    told: dict[str, Any] = {
        "controller_id": request.opened_by,
        "expected_completion_time": request.due_at.isoformat(),
        "subject_request_id": str(request.id),
        "request_status": status_of(request),
        "api_version": VERSION,
    }
    for package in package_store.of_request(session, request.id):
        if package.deleted_at is None:
            made, _ = token.make(package.id, now=datetime.now(UTC))
            told["results_url"] = (
                f"{settings.public_url}/v1/privacy/packages/{package.id}?token={made}"
            )
    return told


def domain(settings: Settings) -> str:
    """Return the domain under which requests come in."""
    return urlsplit(settings.public_url).hostname or "localhost"


def signed(settings: Settings, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body."""
    signature = gate.keys_or_new().newest.signing.sign(body, ec.ECDSA(hashes.SHA256()))
    return {
        "X-OpenDSR-Processor-Domain": domain(settings),
        "X-OpenDSR-Signature": base64.b64encode(signature).decode(),
        "Content-Type": "application/json",
    }


def encoded(value: Mapping[str, Any]) -> bytes:
    """Return a body as it is signed and sent."""
    return msgspec.json.encode(value)


def certificate(settings: Settings) -> bytes:
    """Return the certificate of the key that signs, as PEM."""
    key = gate.keys_or_new().newest.signing
    return _certificate(key.private_numbers().private_value, domain(settings))


@lru_cache(4)
def _certificate(secret: int, host: str) -> bytes:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(secret % 2**64 + 1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def call_back(sessions: Sessions, settings: Settings, client: httpx.Client) -> int:
    """Tell controllers whose requests have moved on, and return how many were told.

    What a request has told to each address stands beside it, so a crash costs a repetition.
    """
    query = sa.select(PrivacyRequest.id).where(
        PrivacyRequest.protocol.is_not(None),
        sa.func.coalesce(PrivacyRequest.protocol["told"].astext, "") != COMPLETED,
    )
    with sessions() as session:
        ids = session.scalars(query).all()
    return sum(_tell(sessions, settings, client, one) for one in ids)


def _tell(sessions: Sessions, settings: Settings, client: httpx.Client, request_id: UUID) -> int:
    now = datetime.now(UTC)
    with sessions() as session:
        request = requests.find(session, request_id)
        body, current = status(session, settings, request), status_of(request)
        callbacks = {u: dict(c) for u, c in (request.protocol or {}).get("callbacks", {}).items()}
    told = 0
    for url, state in callbacks.items():
        if state.get("told") == current:
            continue
        if state.get("of") != current:  # who could not be told of one state is told of the next
            state.update(of=current, tries=0, due=0)
        if state["due"] > now.timestamp():
            continue
        if state.get("tries", 0) >= MOST_TRIES:
            state["told"] = current
            continue
        answered = _post(client, settings, url, {**body, "status_callback_url": url})
        tries = 0 if answered else state.get("tries", 0) + 1
        wait = min(LONGEST_WAIT, 5.0 * 2**tries)
        state.update(tries=tries, due=0 if answered else now.timestamp() + wait)
        if answered:
            state["told"] = current
            told += 1
    ended = current in (COMPLETED, CANCELLED)
    done = ended and all(state.get("told") == current for state in callbacks.values())
    with sessions.begin() as session:
        request = requests.find(session, request_id, lock=True)
        kept = {**(request.protocol or {}), "callbacks": callbacks}
        if done:  # their addresses may name somebody, and nobody is told anything any more
            kept = {"body": kept.get("body"), "told": COMPLETED}
        request.protocol = kept
    return told


def _post(client: httpx.Client, settings: Settings, url: str, told: Mapping[str, Any]) -> bool:
    body = encoded(told)
    try:
        with client.stream("POST", url, content=body, headers=signed(settings, body)) as answer:
            return answer.is_success  # of its body nothing is read: it may be of gigabytes
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        log.warning("a status callback could not be sent")
        return False
