"""Breaches of personal data: whom one concerns, the clock, the notification (GDPR art. 33, 34)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires, state_purpose
from api.deps import Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.accountability import breach, breach_draft
from app.errors import (
    BreachNotFound,
    BreachState,
    ClientNotFound,
    DefinitionInvalid,
    DestinationNotFound,
    PurposeNotAllowed,
    PurposeRequired,
    SourceNotFound,
)
from consent import party
from consent.errors import ControllerNotFound

router = Resource(prefix="/v1/privacy/breaches", tags=["privacy"])

Reader = Annotated[Caller, requires("privacy:read")]
Officer = Annotated[Caller, requires("privacy:process")]
AUTH = (InvalidToken, InsufficientScope)
UNKNOWN = (SourceNotFound, ClientNotFound, DestinationNotFound, DefinitionInvalid)
OF_ONE = (*AUTH, BreachNotFound)
EXAMPLE = {"since": "2026-11-01T00:00:00Z", "until": "2026-11-03T12:00:00Z"}


class BreachIn(BaseModel):
    """A breach that was noticed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "noticed_at": "2026-11-04T09:00:00Z",
                "scope": {**EXAMPLE, "stores": ["events"]},
                "told": {"nature": "a backup of the events was readable by everybody"},
            }
        },
    )

    noticed_at: Moment = Field(description="When you became aware: the clock began then.")
    scope: breach.BreachScope
    told: breach.Told


class AgainIn(BaseModel):
    """What is known by now; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"scope": {**EXAMPLE, "stores": ["database"]}}},
    )

    scope: breach.BreachScope | None = None
    told: breach.Told | None = None


class StepIn(BaseModel):
    """What was done."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"what": "authority_notified"}}
    )

    what: breach.Step
    reason: str = Field(
        default="",
        max_length=2_000,
        description="Why later than 72 hours, or why not at all; name nobody.",
    )


def _now() -> datetime:
    return datetime.now(UTC)


def _id(text: str) -> UUID:
    """Return the id of a breach; raises BreachNotFound for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise BreachNotFound("") from error


@router.post(
    "",
    status_code=201,
    summary="Open a breach and count whom it concerns",
    responses=documented(*AUTH, *UNKNOWN),
)
def open_breach(session: Db, caller: Officer, wanted: BreachIn) -> dict[str, Any]:
    """Put a breach on record, with whom and what it concerns in numbers, and its 72 hours.

    Of a client all people count whom it may read by its purposes; `/v1/reads` lists what it did.
    """
    now = _now()
    made = breach.open_(
        session,
        wanted.scope,
        wanted.told,
        noticed_at=wanted.noticed_at,
        by=caller.client_id,
        now=now,
    )
    return breach.describe(session, made, now=now)


@router.get("", summary="List breaches", responses=documented(*AUTH))
def list_breaches(session: Db, caller: Reader, limit: Limit = 100) -> dict[str, Any]:
    """Return breaches with their clocks, the newest first."""
    now = _now()
    found = breach.list_all(session, limit=limit)
    return {"data": [breach.describe(session, one, now=now) for one in found]}


@router.get("/{breach_id}", summary="Get a breach", responses=documented(*OF_ONE))
def get_breach(session: Db, caller: Reader, breach_id: str) -> dict[str, Any]:
    """Return a breach: its scope, numbers, clock and what was done about it."""
    return breach.describe(session, breach.find(session, _id(breach_id)), now=_now())


@router.post(
    "/{breach_id}/assessment",
    summary="Count anew whom a breach concerns",
    responses=documented(*OF_ONE, BreachState, *UNKNOWN),
)
def assess_breach(session: Db, caller: Officer, breach_id: str, wanted: AgainIn) -> dict[str, Any]:
    """Change the scope or what is told, and count anew; what was known before stays on record."""
    now = _now()
    found = breach.assess_again(
        session, _id(breach_id), scope=wanted.scope, told=wanted.told, by=caller.client_id, now=now
    )
    return breach.describe(session, found, now=now)


@router.post(
    "/{breach_id}/steps",
    summary="Note what was done about a breach",
    responses=documented(*OF_ONE, BreachState, DefinitionInvalid),
)
def note_step(session: Db, caller: Officer, breach_id: str, wanted: StepIn) -> dict[str, Any]:
    """Note that the authority or the people were notified, or why not, or close the breach."""
    now = _now()
    found = breach.note(
        session, _id(breach_id), wanted.what, by=caller.client_id, now=now, reason=wanted.reason
    )
    return breach.describe(session, found, now=now)


@router.get(
    "/{breach_id}/draft",
    summary="Get a draft of the notification",
    response_class=Response,
    responses={
        **documented(*OF_ONE),
        200: {
            "description": "The draft.",
            "content": {"text/markdown": {"example": "# Notification of a personal data breach\n"}},
        },
    },
)
def get_draft(
    session: Db,
    caller: Reader,
    breach_id: str,
    to: Annotated[Literal["authority", "people"], Query()] = "authority",
) -> Response:
    """Return what art. 33(3) or 34(2) asks for, as Markdown, with what is left to write marked."""
    shown = breach.describe(session, breach.find(session, _id(breach_id)), now=_now())
    try:
        controller = party.controller(session)
    except ControllerNotFound:
        controller = {}
    write = breach_draft.authority if to == "authority" else breach_draft.people
    return Response(write(shown, controller), media_type="text/markdown; charset=utf-8")


@router.get(
    "/{breach_id}/people",
    summary="List the people whom a breach concerns",
    responses=documented(*OF_ONE, PurposeRequired, PurposeNotAllowed),
)
def list_people(
    session: Db,
    caller: Annotated[Caller, requires("privacy:process", "profiles:read")],
    breach_id: str,
    purpose: Annotated[str | None, Query(examples=["service.operation"])] = None,
) -> dict[str, Any]:
    """Return who is concerned and may be reached for a purpose; `withheld` counts the others."""
    stated = state_purpose(caller, purpose)
    people, withheld = breach.concerned(session, _id(breach_id), stated)
    return {"purpose": stated, "people": people, "withheld": withheld}
