"""Destinations: webhooks that hear of segments, signed as Standard Webhooks asks."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from app import cursors, work
from app.destinations import outbox, registry
from app.destinations.tables import Destination
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    DestinationExists,
    DestinationNotFound,
    SegmentNotFound,
)
from consent.errors import PurposeNotFound

router = APIRouter(prefix="/v1/destinations", tags=["destinations"])

Writer = Annotated[Caller, requires("destinations:write")]
AUTH = (InvalidToken, InsufficientScope)


class DestinationDeclared(BaseModel):
    """What is told of a destination and recorded (GDPR art. 28, 30, 44); it decides nothing."""

    model_config = ConfigDict(extra="forbid")

    recipient: str | None = Field(
        default=None, max_length=200, description="Who receives, by name.", examples=["Mailer SAS"]
    )
    region: str | None = Field(
        default=None, max_length=100, description="The country where it is.", examples=["FR"]
    )
    transfer_tool: str | None = Field(
        default=None,
        max_length=200,
        description="What makes a transfer out of the union lawful.",
        examples=["standard contractual clauses 2021/914"],
    )
    agreement: str | None = Field(
        default=None, max_length=500, description="Where the processing agreement is (art. 28(3))."
    )


class DestinationIn(BaseModel):
    """A webhook to register."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "newsletter-tool",
                "url": "https://crm.example/hooks/parcours",
                "purpose": "marketing.email",
                "segments": ["newsletter-buyers"],
            }
        }
    )

    name: str = Field(min_length=1, max_length=200)
    url: str = Field(max_length=2048)
    purpose: str = Field(max_length=100, description="The purpose that allows the sending.")
    segments: list[str] = Field(min_length=1, max_length=100)
    tcf_vendor: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Its id in the Global Vendor List: then each person's TC string decides too.",
    )
    declared: DestinationDeclared = Field(default_factory=DestinationDeclared)


def _out(session: Session, destination: Destination) -> dict[str, Any]:
    return {
        "id": destination.id,
        "name": destination.name,
        "kind": destination.kind,
        "url": destination.url,
        "purpose": destination.purpose,
        "tcf_vendor": destination.tcf_vendor,
        "segments": destination.segments,
        "declared": destination.declared,
        "enabled": destination.enabled,
        "why_disabled": destination.why_disabled,
        "waiting": registry.waiting(session, destination),
    }


@router.post(
    "",
    status_code=201,
    summary="Register a webhook",
    responses=documented(
        *AUTH, DefinitionInvalid, DestinationExists, PurposeNotFound, SegmentNotFound
    ),
)
def create_destination(session: Db, caller: Writer, wanted: DestinationIn) -> dict[str, Any]:
    """Register a webhook; `secret` verifies its signatures and is shown only this once.

    Who is in its segments already is sent first; after that only who enters and leaves.
    """
    destination = registry.create(
        session,
        name=wanted.name,
        url=wanted.url,
        purpose=wanted.purpose,
        segment_keys=wanted.segments,
        tcf_vendor=wanted.tcf_vendor,
        declared=wanted.declared.model_dump(exclude_none=True),
    )
    queued = outbox.fill(session, destination, now=datetime.now(UTC))
    work.wake(session)
    return {**_out(session, destination), "secret": destination.secret, "queued": queued}


@router.get("", summary="List destinations", responses=documented(*AUTH))
def list_destinations(session: Db, caller: Writer) -> dict[str, Any]:
    """Return all destinations."""
    return {"data": [_out(session, d) for d in registry.list_all(session)]}


@router.delete(
    "/{destination_id}",
    status_code=204,
    summary="Remove a destination",
    responses=documented(*AUTH, DestinationNotFound),
)
def delete_destination(session: Db, caller: Writer, destination_id: int) -> None:
    """Remove a destination and what waits for it."""
    registry.remove(session, destination_id)


@router.get(
    "/{destination_id}/deliveries",
    summary="List deliveries",
    responses=documented(*AUTH, DestinationNotFound, CursorInvalid),
)
def list_deliveries(
    session: Db, caller: Writer, destination_id: int, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return what was delivered, waits, was dropped or failed, each with its reason."""
    after = cursors.decode(cursor, int)[0] if cursor else 0
    rows = registry.deliveries(session, destination_id, after=after, limit=limit)
    return {
        "data": [
            {
                "message_id": str(r.message_id),
                "type": r.type,
                "profile_id": str(r.profile_id),
                "segment": r.payload["segment"],
                "state": r.state,
                "reason": r.reason,
                "attempts": r.attempts,
                "last_status": r.last_status,
                "created_at": r.created_at.isoformat(),
                "ended_at": r.ended_at.isoformat() if r.ended_at else None,
            }
            for r in rows
        ],
        "next_cursor": cursors.encode(rows[-1].id) if len(rows) == limit else None,
    }
