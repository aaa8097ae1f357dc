"""Destinations: where people of segments are sent, of which kinds, and how that goes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors, work
from app.access import reads
from app.destinations import describe, kinds, registry, syncing
from app.destinations.tables import Destination, Sync
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    DestinationExists,
    DestinationKeyUnusable,
    DestinationNotFound,
    PurposeNotAllowed,
    SegmentNotFound,
)
from consent.errors import PurposeNotFound
from consent.receipts.dpv import COUNTRY

router = Resource(prefix="/v1/destinations", tags=["destinations"])

#: The database holds no greater id.
GREATEST = 2**63 - 1
Writer = Annotated[Caller, requires("destinations:write")]
Id = Annotated[int, Path(ge=1, le=GREATEST, description="The destination's id.")]
Given = dict[str, Any]
AUTH = (InvalidToken, InsufficientScope)


class DestinationDeclared(BaseModel):
    """What is told of a destination and recorded (GDPR art. 28, 30, 44); it decides nothing."""

    model_config = ConfigDict(extra="forbid")

    recipient: str | None = Field(
        default=None, max_length=200, description="Who receives, by name.", examples=["Mailer SAS"]
    )
    region: str | None = Field(
        default=None,
        pattern=f"^{COUNTRY.pattern}$",
        description="The country where it is (ISO 3166-1 alpha-2), or its part (ISO 3166-2).",
        examples=["FR"],
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
    """A destination to register."""

    model_config = ConfigDict(
        # Of a misspelt `tcf_vendor` people would be sent whom their TC strings keep out, and of a
        # misspelt `mapping` fields that nobody chose.
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "newsletter-tool",
                "url": "https://crm.example/hooks/parcours",
                "purpose": "marketing.email",
                "segments": ["newsletter-buyers"],
            }
        },
    )

    name: str = Field(min_length=1, max_length=200)
    kind: str = Field(default="webhook", max_length=50, examples=["hubspot"])
    url: str | None = Field(default=None, max_length=2048, description="The setting `url`.")
    settings: Given = Field(default_factory=dict, description="As its kind declares them.")
    secrets: Given = Field(default_factory=dict, description="Sealed, and never shown.")
    mapping: Given | None = Field(
        default=None, description="Fields at the receiver; without it the kind's own beginning."
    )
    rate: float | None = Field(default=None, gt=0, le=1_000, description="Requests a second.")
    purpose: str = Field(max_length=100, description="The purpose that allows the sending.")
    segments: list[str] = Field(min_length=1, max_length=100)
    also_for: list[Annotated[str, Field(max_length=100)]] = Field(
        default_factory=list,
        max_length=20,
        description="Purposes that each person must allow beside `purpose`, all of them.",
        examples=[["ads.personalised"]],
    )
    tcf_vendor: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Its id in the Global Vendor List: then each person's TC string decides too.",
    )
    declared: DestinationDeclared = Field(default_factory=DestinationDeclared)


class DestinationPatch(BaseModel):
    """What is to be changed of a destination; what is not given stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"enabled": False}})

    settings: Given | None = Field(default=None, description="All of them.")
    secrets: Given | None = Field(default=None, description="Those that change.")
    mapping: Given | None = Field(default=None, description="All of it.")
    rate: float | None = Field(default=None, ge=0, le=1_000, description="0 is the kind's own.")
    enabled: bool | None = None


def _state_purposes(caller: Caller, to: Destination) -> str:
    """Demand that the caller is registered for all that a destination needs; return its own.

    By who is sent, and why not, one learns what they said of each.
    """
    for purpose in to.also_for:
        state_purpose(caller, purpose)
    return state_purpose(caller, to.purpose)


def _out(destination: Destination, state: syncing.State, sync: Sync | None) -> dict[str, Any]:
    return {
        "id": destination.id,
        "name": destination.name,
        "kind": destination.kind,
        "url": destination.url,
        "settings": destination.settings or {"url": destination.url},
        "mapping": destination.mapping,
        "rate": destination.rate,
        "purpose": destination.purpose,
        "also_for": destination.also_for,
        "tcf_vendor": destination.tcf_vendor,
        "segments": destination.segments,
        "declared": destination.declared,
        "enabled": destination.enabled,
        "why_disabled": destination.why_disabled,
        "waiting": state.waiting,
        "backlog_seconds": state.backlog_seconds,
        "failed": state.failed,
        "held": state.held,
        "delivered_at": state.delivered_at.isoformat() if state.delivered_at else None,
        "sync": syncing.shown(sync, destination) if sync else None,
    }


def _one(session: Session, destination: Destination) -> dict[str, Any]:
    [out] = _all(session, [destination])
    return out


def _all(session: Session, listed: Sequence[Destination]) -> list[dict[str, Any]]:
    states, syncs = syncing.states(session, listed), syncing.syncs(session, listed)
    return [_out(one, states[one.id], syncs.get(one.id)) for one in listed]


@router.post(
    "",
    status_code=201,
    summary="Register a destination",
    responses=documented(
        *AUTH,
        DefinitionInvalid,
        DestinationExists,
        DestinationKeyUnusable,
        PurposeNotAllowed,
        PurposeNotFound,
        SegmentNotFound,
    ),
)
def create_destination(session: Db, caller: Writer, wanted: DestinationIn) -> dict[str, Any]:
    """Register a destination; a webhook's `secret` verifies its signatures, shown only this once.

    Who is in its segments already is queued by the worker from now on, as `sync` tells; after that
    only what changes is sent. The client must be registered for the purposes, as for every route
    that sends.
    """
    for purpose in (wanted.purpose, *wanted.also_for):
        state_purpose(caller, purpose)
    destination = registry.create(
        session,
        name=wanted.name,
        kind=wanted.kind,
        url=wanted.url,
        settings=wanted.settings,
        secrets=wanted.secrets,
        fields=wanted.mapping,
        rate=wanted.rate,
        purpose=wanted.purpose,
        segment_keys=wanted.segments,
        tcf_vendor=wanted.tcf_vendor,
        also_for=wanted.also_for,
        declared=wanted.declared.model_dump(exclude_none=True),
    )
    work.wake(session)
    made = {} if wanted.secrets else registry.made_secrets(destination)
    return {**_one(session, destination), **made}


@router.get("/kinds", summary="List the kinds of destinations", responses=documented(*AUTH))
def list_kinds(caller: Writer) -> dict[str, Any]:
    """Return each kind with its settings and secrets (JSON Schema), its fields and its mapping."""
    return {"data": [describe.kind(kind) for kind in kinds.KINDS.values()]}


@router.get("", summary="List destinations", responses=documented(*AUTH))
def list_destinations(session: Db, caller: Writer) -> dict[str, Any]:
    """Return all destinations, each with what waits, how long, what failed, and what it holds."""
    return {"data": _all(session, registry.list_all(session))}


@router.get(
    "/{destination_id}",
    summary="Get a destination",
    responses=documented(*AUTH, DestinationNotFound),
)
def get_destination(session: Db, caller: Writer, destination_id: Id) -> dict[str, Any]:
    """Return a destination; its secrets are shown nowhere."""
    return _one(session, registry.find(session, destination_id))


@router.patch(
    "/{destination_id}",
    summary="Change a destination, switch it off or on",
    responses=documented(
        *AUTH,
        DefinitionInvalid,
        DestinationKeyUnusable,
        DestinationNotFound,
        PurposeNotAllowed,
        PurposeNotFound,
    ),
)
def change_destination(
    session: Db, caller: Writer, destination_id: Id, wanted: DestinationPatch
) -> dict[str, Any]:
    """Change settings, secrets, the mapping or the rate; what waits is sent by the new ones.

    A new mapping is looked at for everybody whom the receiver holds, and what differs is sent.
    Who is not registered for its purposes may switch it off and nothing else.
    """
    destination = registry.find(session, destination_id)
    if wanted.enabled or wanted.model_fields_set - {"enabled"}:
        _state_purposes(caller, destination)
    registry.change(
        session,
        destination,
        settings=wanted.settings,
        secrets=wanted.secrets,
        fields=wanted.mapping,
        rate=wanted.rate,
        enabled=wanted.enabled,
    )
    if wanted.mapping is not None or wanted.enabled:
        syncing.request(session, destination)
    work.wake(session)
    return _one(session, destination)


@router.post(
    "/{destination_id}/dry-run",
    summary="Show what would be sent",
    responses=documented(*AUTH, PurposeNotAllowed, DestinationKeyUnusable, DestinationNotFound),
)
def dry_run(
    session: Db,
    caller: Writer,
    destination_id: Id,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Members to look at.")] = 10,
) -> dict[str, Any]:
    """Return what the first members would be sent, and who would not be and why; sends nothing.

    It is personal data: the client must be registered for the destination's purposes.
    """
    destination = registry.find(session, destination_id)
    _state_purposes(caller, destination)
    found = syncing.preview(session, destination, limit=limit)
    return {
        "members": found.members,
        "would_send": found.would_send,
        "not_sent": found.not_sent,
    }


@router.post(
    "/{destination_id}/sync",
    status_code=202,
    summary="Bring a receiver up to date",
    responses=documented(*AUTH, DestinationNotFound, PurposeNotAllowed, SegmentNotFound),
)
def sync_destination(
    session: Db,
    caller: Writer,
    destination_id: Id,
    full: Annotated[bool, Query(description="Send everything, not only what differs.")] = False,
) -> dict[str, Any]:
    """Have the worker queue who is missing there, who is to go, and what differs.

    How far that is, `sync` of the destination tells.
    """
    destination = registry.find(session, destination_id)
    _state_purposes(caller, destination)
    asked = syncing.request(session, destination, "everything" if full else "changes")
    work.wake(session)
    return {"sync": syncing.shown(asked, destination)}


@router.post(
    "/{destination_id}/replay",
    status_code=202,
    summary="Send again what failed",
    responses=documented(*AUTH, DestinationNotFound, PurposeNotAllowed),
)
def replay_deliveries(
    session: Db,
    caller: Writer,
    destination_id: Id,
    message_id: Annotated[
        list[UUID] | None, Query(max_length=1_000, description="Only these messages.")
    ] = None,
) -> dict[str, Any]:
    """Send failed messages again, with the same ids; not those that a later one has overtaken.

    `queued` are the first of them, 1,000 at most; the worker does the rest, as `sync` of the
    destination tells.
    """
    destination = registry.find(session, destination_id)
    _state_purposes(caller, destination)
    now = datetime.now(UTC)
    queued = syncing.replay(session, destination, messages=message_id or None, now=now)
    work.wake(session)
    return {"queued": queued}


@router.delete(
    "/{destination_id}",
    status_code=204,
    summary="Remove a destination",
    responses=documented(*AUTH, DestinationNotFound),
)
def delete_destination(session: Db, caller: Writer, destination_id: Id) -> None:
    """Remove a destination with its secrets and what waits; whom it was told of stays on record."""
    registry.remove(session, destination_id, now=datetime.now(UTC))


@router.get(
    "/{destination_id}/deliveries",
    summary="List deliveries",
    responses=documented(*AUTH, DestinationNotFound, CursorInvalid, PurposeNotAllowed),
)
def list_deliveries(
    session: Db,
    caller: Writer,
    destination_id: Id,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: Literal["waiting", "delivered", "dropped", "failed"] | None = None,
) -> dict[str, Any]:
    """Return what was delivered, waits, was dropped or failed, each with its reason.

    It tells who is in a segment: the client must be registered for the destination's purposes.
    """
    purpose = _state_purposes(caller, registry.find(session, destination_id))
    after = cursors.decode(cursor, int)[0] if cursor else 0
    rows = registry.deliveries(session, destination_id, after=after, limit=limit, state=state)
    reads.saw_profiles(session, {row.profile_id for row in rows}, purpose=purpose)
    return {
        "data": [
            {
                "message_id": str(r.message_id),
                "type": r.type,
                "profile_id": str(r.profile_id),
                "segment": r.payload.get("segment"),
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
