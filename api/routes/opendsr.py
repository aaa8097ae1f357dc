"""OpenDSR 2.0 (github.com/opengdpr/OpenDSR): requests of data subjects between controllers."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Response

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.request_body import whole
from api.resource import Resource
from app.errors import (
    PrivacyRequestDiffers,
    PrivacyRequestInvalid,
    PrivacyRequestNotFound,
    PrivacyRequestState,
)
from app.privacy import opendsr
from identity.errors import IdentifierInvalid

router = Resource(tags=["privacy"])

Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)
EXAMPLE = {
    "regulation": "gdpr",
    "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
    "subject_request_type": "erasure",
    "submitted_time": "2026-10-02T15:00:00Z",
    "subject_identities": [
        {"identity_type": "email", "identity_value": "jo@example.org", "identity_format": "raw"}
    ],
    "api_version": "2.0",
    "status_callback_urls": ["https://controller.example/callbacks"],
}


def _signed(settings: Configuration, told: dict[str, Any], status: int = 200) -> Response:
    body = opendsr.encoded(told)
    headers = {**opendsr.signed(settings, body), "cache-control": "no-store"}
    return Response(body, status_code=status, headers=headers)


@router.get(
    "/opendsr/discovery", summary="Say what is supported of OpenDSR", responses=documented(*AUTH)
)
def discover(settings: Configuration, caller: Officer) -> dict[str, Any]:
    """Return the kinds of requests and identities, and where the certificate is."""
    types = ["email", "phone", *opendsr.NAMESPACES]
    return {
        "api_version": opendsr.VERSION,
        "supported_identities": [{"identity_type": t, "identity_format": "raw"} for t in types],
        "supported_subject_request_types": list(opendsr.TYPES),
        "processor_certificate": f"{settings.public_url}/.well-known/opendsr-certificate.pem",
    }


@router.get(
    "/.well-known/opendsr-certificate.pem",
    summary="The certificate that checks OpenDSR signatures",
    response_class=Response,
)
def certificate(settings: Configuration) -> Response:
    """Return it as PEM; it is our own, so take it over TLS."""
    return Response(opendsr.certificate(settings), media_type="application/x-pem-file")


@router.post(
    "/opendsr/requests",
    status_code=201,
    summary="Open a request in the form of OpenDSR",
    response_class=Response,
    responses=documented(*AUTH, PrivacyRequestInvalid, PrivacyRequestDiffers, IdentifierInvalid),
    openapi_extra={"requestBody": {"content": {"application/json": {
        "schema": {"type": "object"}, "example": EXAMPLE}}, "required": True}},
)  # fmt: skip
def open_opendsr_request(
    body: Annotated[bytes, Depends(whole)],
    session: Db,
    settings: Configuration,
    caller: Officer,
) -> Response:
    """Open it, attested by you as the controller, and return a signed receipt.

    The same body again is the same request; another one under its `subject_request_id` is refused.
    Do not log `encoded_request`.
    """
    wanted = opendsr.read(body)
    request = opendsr.open_(
        session, settings, wanted, body, client_id=caller.client_id, now=datetime.now(UTC)
    )
    return _signed(settings, opendsr.receipt(request, body), 201)


@router.get(
    "/opendsr/requests/{request_id}",
    summary="Ask for the status of an OpenDSR request",
    response_class=Response,
    responses=documented(*AUTH, PrivacyRequestNotFound),
)
def read_status(session: Db, settings: Configuration, caller: Officer, request_id: str) -> Response:
    """Return pending, in_progress, completed or cancelled, signed, with where the results are."""
    request = opendsr.find(session, request_id, client_id=caller.client_id)
    return _signed(settings, opendsr.status(session, settings, request))


@router.delete(
    "/opendsr/requests/{request_id}",
    status_code=202,
    summary="Cancel an OpenDSR request that is pending",
    response_class=Response,
    responses=documented(*AUTH, PrivacyRequestNotFound, PrivacyRequestState),
)
def cancel(session: Db, settings: Configuration, caller: Officer, request_id: str) -> Response:
    """Cancel it, and return a signed receipt."""
    request = opendsr.find(session, request_id, client_id=caller.client_id, lock=True)
    now = datetime.now(UTC)
    opendsr.cancel(session, request, by=caller.client_id, now=now)
    told = {
        "controller_id": request.opened_by,
        "subject_request_id": str(request.id),
        "received_time": now.isoformat(),
        "api_version": opendsr.VERSION,
    }
    return _signed(settings, told, 202)
