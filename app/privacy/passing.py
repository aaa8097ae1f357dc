"""What is said to a processor of OpenDSR, and what it answers (specification, 7 and 8).

An answer counts when the processor has signed it, and a receipt when it is of the very request.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import msgspec

from app.errors import ProcessorUnusable
from app.privacy import opendsr, processors, signed
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyRequest, ProcessorRequest
from app.settings import Settings

CALLBACKS = "/opendsr/callbacks"


class Told(msgspec.Struct, frozen=True):
    """The status of a request, in an answer or a callback (specification, 8.3 and 8.6)."""

    subject_request_id: UUID
    request_status: str
    expected_completion_time: datetime | None = None
    status_callback_url: str | None = None
    results_url: str | None = None


class _Receipt(msgspec.Struct, frozen=True):
    subject_request_id: UUID
    encoded_request: str
    expected_completion_time: datetime | None = None


def body_of(settings: Settings, request: PrivacyRequest, row: ProcessorRequest) -> dict[str, Any]:
    """Return the request as the specification has it (7.1), with all forms of the identities."""
    identifiers = Subject.of_json(request.subject or {}).identifiers
    body: dict[str, Any] = {
        "regulation": request.regime,
        "subject_request_id": str(row.id),
        "subject_request_type": request.kind,
        "submitted_time": request.received_at.astimezone(UTC).isoformat(timespec="seconds"),
        "subject_identities": [
            one for place in row.identities for one in _forms(*identifiers[place])
        ],
        "api_version": opendsr.VERSION,
    }
    if settings.public_url.startswith("https://"):
        body["status_callback_urls"] = [settings.public_url + CALLBACKS]
    return body


def _forms(namespace: str, value: str) -> list[dict[str, str]]:
    """Return an identifier under every name and in every format that it may be asked for."""
    named = [namespace, *(t for t, own in opendsr.NAMESPACES.items() if own == namespace)]
    hashed = hashlib.sha256(value.encode()).hexdigest()
    return [
        {"identity_type": name, "identity_value": said, "identity_format": form}
        for name in named
        for form, said in (("raw", value), ("sha256", hashed))
    ]


def supported_of(
    body: dict[str, Any], kinds: Sequence[str], identities: Sequence[Sequence[str]]
) -> dict[str, Any] | str:
    """Return the request with what the processor takes of it, or why it takes none of it.

    An identity goes raw where that is taken, and hashed otherwise.
    """
    if body["subject_request_type"] not in kinds:
        return f"it takes no request of the type {body['subject_request_type']}"
    taken = {tuple(one) for one in identities}
    raw = {one["identity_type"] for one in body["subject_identities"]
           if (one["identity_type"], "raw") in taken}  # fmt: skip
    named = [
        one
        for one in body["subject_identities"]
        if (one["identity_type"], one["identity_format"]) in taken
        and (one["identity_format"] == "raw" or one["identity_type"] not in raw)
    ]
    if not named:
        return "it takes no identity of the kinds that the person has"
    return {**body, "subject_identities": named}


def exchange(
    client: httpx.Client,
    settings: Settings,
    address: processors.Address,
    certificate: str,
    row_id: UUID,
    wanted: dict[str, Any],
    *,
    first: bool,
    repeated: bool,
) -> Told:
    """Send a request, or ask for the status of one that was sent; raises ProcessorUnusable.

    One that may have been sent before, when nobody heard the answer, is asked for first.
    """
    path = f"/requests/{row_id}"
    if not first or repeated:
        try:
            return _status(processors.ask(client, address, "GET", path), address, certificate)
        except ProcessorUnusable:
            if not first:
                raise
    body = opendsr.encoded(wanted)
    own = opendsr.signed(settings, body)
    headers = {
        "Content-Type": "application/json",
        # Beyond the specification, for processors that want to know who asks.
        "X-OpenDSR-Controller-Domain": own["X-OpenDSR-Processor-Domain"],
        "X-OpenDSR-Signature": own["X-OpenDSR-Signature"],
    }
    answer = processors.ask(client, address, "POST", "/requests", body=body, headers=headers)
    _must_be_signed(answer, address, certificate)
    try:
        receipt = msgspec.json.decode(answer.content, type=_Receipt)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProcessorUnusable("its receipt is unreadable") from error
    same = receipt.encoded_request == base64.b64encode(body).decode()
    if not same or receipt.subject_request_id != row_id:
        raise ProcessorUnusable("its receipt is of another request")
    return Told(row_id, opendsr.PENDING, receipt.expected_completion_time)


def _status(answer: processors.Said, address: processors.Address, certificate: str) -> Told:
    _must_be_signed(answer, address, certificate)
    try:
        return msgspec.json.decode(answer.content, type=Told)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProcessorUnusable("its status is unreadable") from error


def _must_be_signed(answer: processors.Said, address: processors.Address, certificate: str) -> None:
    if answer.domain.lower() != address.domain:
        raise ProcessorUnusable("its answer is of another domain")
    if not signed.holds(certificate, answer.signature, answer.content):
        raise ProcessorUnusable("its answer is not signed by its certificate")
