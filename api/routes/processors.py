"""Destinations that speak OpenDSR 2.0: requests of data subjects are passed on to them."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.request_body import whole
from api.resource import Resource
from app.destinations import guard, registry
from app.errors import (
    CallbackNotSigned,
    DestinationKeyUnusable,
    DestinationNotFound,
    PrivacyRequestInvalid,
    PrivacyRequestNotFound,
    ProcessorNotFound,
    ProcessorUnusable,
)
from app.privacy import forward, passing, processors

router = Resource(tags=["privacy"])

Reader = Annotated[Caller, requires("privacy:read")]
Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)
Signature = APIKeyHeader(
    name="X-OpenDSR-Signature",
    scheme_name="ProcessorSignature",
    description="The signature of the body, by the certificate of a registered processor.",
    auto_error=False,
)
PATH = "/v1/destinations/{destination_id}/opendsr"


class ProcessorIn(BaseModel):
    """Where a destination takes requests by OpenDSR."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"url": "https://opendsr.mailer.example/v2", "credentials": "Bearer 4711"}
        },
    )

    url: str = Field(
        max_length=2_048, description="An https address, to which `/discovery` is added."
    )
    credentials: str | None = Field(
        default=None,
        min_length=1,
        max_length=4_096,
        description="Sent as the header `Authorization`; shown to nobody afterwards.",
    )
    certificate: str | None = Field(
        default=None,
        max_length=100_000,
        description="PEM of the processor's certificate, or of the authority that issued it, "
        "where that is none that browsers know. You vouch for it.",
    )


@router.put(
    PATH,
    summary="Register a destination as one that speaks OpenDSR",
    responses=documented(*AUTH, DestinationNotFound, ProcessorUnusable, DestinationKeyUnusable),
)
def register(
    request: Request,
    settings: Configuration,
    caller: Officer,
    destination_id: int,
    wanted: ProcessorIn,
) -> dict[str, Any]:
    """Ask for its discovery and certificate, and keep them if they are as they should be.

    From then on a request for erasure, access or portability of a person of whom it was told goes
    to it, and is not closed before it has answered.
    """
    sessions = request.app.state.sessions
    with sessions() as session:
        registry.find(session, destination_id)
    address = processors.read(wanted.url, wanted.credentials, wanted.certificate)
    with guard.client(settings) as client:
        found = processors.discover(client, address)
    with sessions.begin() as session:
        return processors.shown(processors.register(session, destination_id, address, found))


@router.get(
    PATH,
    summary="Read what an OpenDSR destination supports",
    responses=documented(*AUTH, ProcessorNotFound),
)
def read(session: Db, caller: Reader, destination_id: int) -> dict[str, Any]:
    """Return what its discovery said, asked anew once a day while requests are on their way."""
    return processors.shown(processors.find(session, destination_id))


@router.delete(
    PATH,
    status_code=204,
    summary="No longer pass requests on to a destination",
    responses=documented(*AUTH, ProcessorNotFound),
)
def remove(session: Db, caller: Officer, destination_id: int) -> None:
    """Remove it; requests that it has not answered show it as `not_supported`."""
    session.delete(processors.find(session, destination_id))


@router.post(
    passing.CALLBACKS,
    status_code=204,
    summary="Take a status callback of an OpenDSR processor",
    responses=documented(CallbackNotSigned, PrivacyRequestInvalid, PrivacyRequestNotFound),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "controller_id": "parcours",
                        "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
                        "request_status": "completed",
                        "status_callback_url": "https://cdp.example/opendsr/callbacks",
                        "expected_completion_time": "2026-11-01T15:00:00Z",
                    },
                }
            },
        }
    },
)
def call_back(
    request: Request,
    settings: Configuration,
    body: Annotated[bytes, Depends(whole)],
    domain: Annotated[str, Header(alias="X-OpenDSR-Processor-Domain", max_length=253)] = "",
    signature: Annotated[str | None, Security(Signature)] = None,
) -> None:
    """Take it, if it is signed by a registered processor about a request that was passed to it.

    It needs no token: the signature is all that counts.
    """
    forward.called_back(
        request.app.state.sessions, settings, domain=domain, signature=signature or "", body=body
    )
