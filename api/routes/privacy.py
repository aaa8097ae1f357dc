"""Requests of data subjects (GDPR art. 12 to 22): open, check, extend, end, fetch."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Configuration, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.errors import (
    IdentityNotShown,
    PrivacyRequestInvalid,
    PrivacyRequestNotFound,
    PrivacyRequestState,
    SuppressionKeyUnusable,
)
from app.privacy import check, describe, requests
from app.privacy.own import own
from app.privacy.subject import Subject
from identity import erasure, identifiers
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/privacy", tags=["privacy"])

Reader = Annotated[Caller, requires("privacy:read")]
Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)
OF_ONE = (*AUTH, PrivacyRequestNotFound, PrivacyRequestState, PrivacyRequestInvalid)
Kind = Literal[
    "access", "portability", "erasure", "rectification", "restriction", "objection",
    "withdraw_all", "explain",
]  # fmt: skip


class DetailsIn(BaseModel):
    """What a kind of request needs beside the person."""

    model_config = ConfigDict(extra="forbid")

    purpose: str | None = Field(
        default=None,
        max_length=200,
        description="Of an objection: a purpose, or `marketing`; all that can be when left out.",
    )
    trait: str | None = Field(default=None, max_length=512, description="Of a rectification.")
    value: str | int | float | bool | None = Field(default=None, description="Its right value.")


class RequestIn(BaseModel):
    """A request of a data subject."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "kind": "access",
                "identifiers": ["email:ada@example.org"],
                "attested": "asked by letter, passport seen, ticket 4711",
            }
        },
    )

    kind: Kind
    identifiers: list[str] = Field(min_length=1, max_length=20)
    attested: str | None = Field(
        default=None,
        max_length=500,
        description="How you know that it is they; without it, the identifiers are checked.",
    )
    regime: Literal["gdpr", "ccpa"] = "gdpr"
    received_at: Moment | None = Field(
        default=None,
        description="When the person asked, if earlier: the clock began then.",
    )
    details: DetailsIn = Field(default_factory=DetailsIn)


def _now() -> datetime:
    return datetime.now(UTC)


def _id(text: str) -> UUID:
    """Return the id of a request; raises PrivacyRequestNotFound for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise PrivacyRequestNotFound("") from error


@router.post(
    "/requests",
    status_code=201,
    summary="Open a request of a data subject",
    responses=documented(*AUTH, PrivacyRequestInvalid, IdentifierInvalid, SuppressionKeyUnusable),
)
def open_request(
    session: Db, settings: Configuration, caller: Officer, wanted: RequestIn
) -> dict[str, Any]:
    """Open a request about the person of these identifiers, all of which they claim.

    Attested, the worker carries it out at once. Else it waits until each identifier was checked.
    The answer is the same whether anybody is known or not. A request that asks for nothing that an
    open one does not ask for, and is no better shown to be the person's, is its duplicate.
    """
    request = requests.open_(
        session,
        settings,
        kind=wanted.kind,
        identifiers=[identifiers.parse(one) for one in wanted.identifiers],
        by=caller.client_id,
        now=_now(),
        regime=wanted.regime,
        attested=wanted.attested,
        received_at=wanted.received_at,
        details=wanted.details.model_dump(exclude_none=True),
    )
    return describe.whole(session, request.id, settings, now=_now())


@router.get("/requests", summary="List requests of data subjects", responses=documented(*AUTH))
def list_requests(
    session: Db,
    settings: Configuration,
    caller: Reader,
    limit: Limit = 100,
    ended: Annotated[bool, Query(description="Also those that have ended.")] = False,
) -> dict[str, Any]:
    """Return requests without saying whose they are, those that are due first first."""
    found = requests.list_all(session, open_only=not ended, limit=limit)
    return {"data": [describe.request(one, settings, now=_now()) for one in found]}


@router.get(
    "/requests/{request_id}",
    summary="Read a request, its plan and its history",
    responses=documented(*AUTH, PrivacyRequestNotFound),
)
def read_request(
    session: Db, settings: Configuration, caller: Reader, request_id: str
) -> dict[str, Any]:
    """Return the clock, the result per store and destination, packages, and what happened."""
    return describe.whole(session, _id(request_id), settings, now=_now())


@router.get(
    "/requests/{request_id}/others",
    summary="List who may be the same person, for a reviewer",
    responses=documented(*AUTH, PrivacyRequestNotFound),
)
def list_others(session: Db, caller: Officer, request_id: str) -> dict[str, Any]:
    """Return identifiers that a match, a decision or a held link connects with the person's own.

    Nothing of them is handed out or erased. If one is the person's, ask for it too; if not, it is
    somebody else's data. Empty once the request has ended.
    """
    found = requests.find(session, _id(request_id))
    person = Subject.of_json(found.subject or {"identifiers": []})
    ids = [one.id for one in own(session, person.shown)]
    return {
        "data": [
            {
                "identifier": f"{other.namespace}:{other.value}",
                "kind": other.kind,
                "probability": other.probability,
            }
            for other in erasure.others(session, ids)
        ]
    }


class CheckIn(BaseModel):
    """Which identifier is checked, and how."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"identifier": "email:ada@example.org", "way": "code"}},
    )

    identifier: str = Field(max_length=1200)
    way: Literal["code", "link"] = "code"


@router.post(
    "/requests/{request_id}/checks",
    status_code=201,
    summary="Get a secret to send to an identifier",
    responses=documented(*OF_ONE, IdentifierInvalid),
)
def issue_check(session: Db, caller: Officer, request_id: str, wanted: CheckIn) -> dict[str, Any]:
    """Return a secret that you send to the identifier itself, and show to nobody else.

    A code holds for 15 minutes, the secret of a link for two days; each for five tries. Five are
    made for an identifier at most.
    """
    secret, expires_at = check.issue(
        session,
        _id(request_id),
        identifiers.parse(wanted.identifier),
        wanted.way,
        by=caller.client_id,
        now=_now(),
    )
    return {"secret": secret, "expires_at": expires_at.isoformat()}


class ConfirmationIn(BaseModel):
    """The secret that the person brought back."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"identifier": "email:ada@example.org", "secret": "12345678"}
        },
    )

    identifier: str = Field(max_length=1200)
    secret: str = Field(max_length=100)


@router.post(
    "/requests/{request_id}/checks/confirm",
    summary="Bring back the secret of a check",
    responses=documented(*AUTH, IdentityNotShown, IdentifierInvalid),
)
def confirm_check(
    request: Request, caller: Officer, request_id: str, wanted: ConfirmationIn
) -> dict[str, bool]:
    """Confirm control of an identifier. Every failure is answered alike, and counts."""
    try:
        known = UUID(request_id)
    except ValueError as error:
        raise IdentityNotShown("ask for a new code if this goes on") from error
    check.confirm(
        request.app.state.sessions,
        known,
        identifiers.parse(wanted.identifier),
        wanted.secret,
        by=caller.client_id,
        now=_now(),
    )
    return {"confirmed": True}


class AttestationIn(BaseModel):
    """How the caller knows who asks."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"how": "passport seen, ticket 4711"}}
    )

    how: str = Field(min_length=1, max_length=500)


@router.post(
    "/requests/{request_id}/attestation",
    summary="Attest that a request comes from the person",
    responses=documented(*OF_ONE),
)
def attest(
    session: Db, settings: Configuration, caller: Officer, request_id: str, wanted: AttestationIn
) -> dict[str, Any]:
    """Take the place of an identity check; who did so, and on what, is on record."""
    found = requests.find(session, _id(request_id), lock=True)
    requests.attest(session, found, how=wanted.how, by=caller.client_id, now=_now())
    return describe.whole(session, found.id, settings, now=_now())


class ExtensionIn(BaseModel):
    """Why the answer takes longer, in the words that the person is told."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "Your data are in many places."}}
    )

    reason: str = Field(max_length=2000)


@router.post(
    "/requests/{request_id}/extension",
    summary="Extend the time for the answer",
    responses=documented(*OF_ONE),
)
def extend(
    session: Db, settings: Configuration, caller: Officer, request_id: str, wanted: ExtensionIn
) -> dict[str, Any]:
    """Extend by two months (gdpr) or 45 days (ccpa), once, and while the first time is running."""
    found = requests.find(session, _id(request_id), lock=True)
    requests.extend(session, found, settings, reason=wanted.reason, by=caller.client_id, now=_now())
    return describe.whole(session, found.id, settings, now=_now())


class EndIn(BaseModel):
    """How a request ends."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"state": "refused", "reason": "manifestly excessive"}},
    )

    state: Literal["closed", "refused", "partially_met", "revoked_by_subject", "no_match"]
    reason: str | None = Field(default=None, max_length=2000)


@router.post("/requests/{request_id}/end", summary="End a request", responses=documented(*OF_ONE))
def end(
    session: Db, settings: Configuration, caller: Officer, request_id: str, wanted: EndIn
) -> dict[str, Any]:
    """End a request; as `closed` only once every task of its plan is done.

    Refused or met in part, it needs the reason that the person is told.
    """
    found = requests.find(session, _id(request_id), lock=True)
    requests.end(
        session, found, wanted.state, by=caller.client_id, now=_now(), reason=wanted.reason
    )
    return describe.whole(session, found.id, settings, now=_now())


@router.post(
    "/requests/{request_id}/lift",
    summary="Lift what a restriction or objection has set",
    responses=documented(*AUTH, PrivacyRequestNotFound, PrivacyRequestState),
)
def lift_restriction(session: Db, caller: Officer, request_id: str) -> dict[str, int]:
    """End it from now on; who restricted processing is told before (GDPR art. 18(3))."""
    by = caller.client_id
    return {"lifted": requests.lift(session, _id(request_id), by=by, now=_now())}
