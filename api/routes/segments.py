"""Segments: rules over traits and behaviour, and their members."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.routes.profiles import Ref, frame
from app import pipeline, work
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    ProfileNotFound,
    PurposeNotAllowed,
    SegmentExists,
    SegmentInUse,
    SegmentNotFound,
)
from app.profiles import read
from app.segments import explain, names, preview, uses
from app.segments import members as segments
from app.segments.tables import Segment
from consent.errors import PurposeNotFound
from identity.errors import IdentifierInvalid

router = APIRouter(prefix="/v1/segments", tags=["segments"])

Reader = Annotated[Caller, requires("segments:read")]
Writer = Annotated[Caller, requires("segments:write")]
AUTH = (InvalidToken, InsufficientScope)

PREVIEW: dict[str, Any] = {
    "purpose": "marketing.email",
    "size": 1204,
    "examples": [{"profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11"}],
    "milliseconds": 84.2,
    "waits_for": [],
    "warnings": [
        "#/rule/sequence/0/event: no event 'Product Add' was seen lately;"
        " did you mean Product Added?"
    ],
}
EXPLANATION: dict[str, Any] = {
    "profile_id": "9d65bb12-3b0e-4b5e-9b61-6d2f3c1f0a11",
    "purpose": "marketing.email",
    "segment": "newsletter-buyers",
    "inside": False,
    "since": None,
    "meets": False,
    "waits_for": [],
    "conditions": {
        "condition": "all",
        "met": False,
        "parts": [
            {
                "condition": {"event": "Order Completed", "within_days": 365.0},
                "met": True,
                "found": 3,
            },
            {"condition": {"trait": "country", "value": "FR"}, "met": False, "found": "DE"},
        ],
    },
    "withheld": [],
}


class SegmentIn(BaseModel):
    """A segment to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "key": "newsletter-buyers",
                "name": "Buyers who may get the newsletter",
                "purpose": "marketing.email",
                "rule": {
                    "all": [
                        {"event": "Order Completed", "count": {"gte": 1}, "within_days": 365},
                        {"trait": "country", "op": "eq", "value": "FR"},
                    ]
                },
            }
        }
    )

    key: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    name: str = Field(min_length=1, max_length=200)
    purpose: str = Field(max_length=100, description="What the membership is used for.")
    rule: dict[str, Any]


def _out(session: Session, segment: Segment) -> dict[str, Any]:
    return {
        "key": segment.key,
        "name": segment.name,
        "purpose": segment.purpose,
        "rule": segment.rule,
        "size": segments.size(session, segment),
        "waits_for": uses.waits_for(session, segments.rule_of(segment), segment.purpose),
        "created_at": segment.created_at.isoformat(),
        "refreshed_at": segment.refreshed_at.isoformat() if segment.refreshed_at else None,
        "refresh_milliseconds": segment.refresh_milliseconds,
    }


@router.post(
    "",
    status_code=201,
    summary="Create a segment",
    responses=documented(*AUTH, DefinitionInvalid, SegmentExists, PurposeNotFound),
)
def create_segment(session: Db, caller: Writer, wanted: SegmentIn) -> dict[str, Any]:
    """Create a segment and compute its members at once."""
    segment = segments.create(
        session, key=wanted.key, name=wanted.name, purpose=wanted.purpose, rule=wanted.rule
    )
    now = datetime.now(UTC)
    pipeline.announce(session, segments.refresh(session, segment, now=now), now=now)
    work.wake(session)
    session.flush()
    warnings = names.warnings(session, segments.rule_of(segment))
    return {**_out(session, segment), "warnings": warnings}


class PreviewIn(BaseModel):
    """A rule to look at before it is saved."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "purpose": "marketing.email",
                "rule": {
                    "sequence": [{"event": "Product Added"}],
                    "without": [{"event": "Order Completed"}],
                    "within_days": 1,
                },
            }
        },
    )

    purpose: str = Field(max_length=100, description="What the membership would be used for.")
    rule: dict[str, Any]


@router.post(
    "/preview",
    summary="Preview a segment",
    responses=documented(*AUTH, DefinitionInvalid, PurposeNotAllowed, PurposeNotFound, ok=PREVIEW),
)
def preview_segment(session: Db, caller: Reader, wanted: PreviewIn) -> dict[str, Any]:
    """Return whom a rule would select now: size and examples; nothing is stored.

    `warnings` point at names that nobody has sent lately, with the nearest ones. A preview that
    takes longer than 30 seconds is given up (503).
    """
    purpose = state_purpose(caller, wanted.purpose)
    return preview.preview(session, purpose=purpose, rule=wanted.rule, now=datetime.now(UTC))


@router.get("", summary="List segments", responses=documented(*AUTH))
def list_segments(session: Db, caller: Reader) -> dict[str, Any]:
    """Return all segments with size and freshness."""
    return {"data": [_out(session, s) for s in segments.list_all(session)]}


@router.get("/{key}", summary="Read a segment", responses=documented(*AUTH, SegmentNotFound))
def read_segment(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return a segment with size and freshness."""
    return _out(session, segments.find(session, key))


@router.delete(
    "/{key}",
    status_code=204,
    summary="Delete a segment",
    responses=documented(*AUTH, SegmentNotFound, SegmentInUse),
)
def delete_segment(session: Db, caller: Writer, key: str) -> None:
    """Delete a segment and its membership; destinations are told that its members left."""
    segment = segments.find(session, key)
    uses.free_segment(session, key)
    now = datetime.now(UTC)
    pipeline.announce(session, segments.empty(session, segment, now=now), now=now)
    session.delete(segment)
    work.wake(session)


@router.get(
    "/{key}/members",
    summary="List members",
    responses=documented(*AUTH, SegmentNotFound, PurposeNotAllowed, CursorInvalid),
)
def list_members(
    session: Db, caller: Reader, key: str, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the profiles in a segment; the caller must be registered for its purpose."""
    segment = segments.find(session, key)
    state_purpose(caller, segment.purpose)
    rows, following = segments.list_members(session, segment, after=cursor, limit=limit)
    return {
        "data": [
            {"profile_id": str(r.profile_id), "since": r.entered_at.isoformat()} for r in rows
        ],
        "next_cursor": following,
    }


@router.get(
    "/{key}/history",
    summary="List who came and went",
    responses=documented(*AUTH, SegmentNotFound, PurposeNotAllowed, CursorInvalid),
)
def list_history(
    session: Db, caller: Reader, key: str, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the stays of each profile, past ones with why they ended; a page may be short."""
    segment = segments.find(session, key)
    state_purpose(caller, segment.purpose)
    rows, following = segments.list_stays(session, segment, after=cursor, limit=limit)
    return {
        "data": [
            {
                "profile_id": str(r.profile_id),
                "since": r.entered_at.isoformat(),
                "until": r.left_at.isoformat() if r.left_at else None,
                "reason": r.why_left,
            }
            for r in rows
        ],
        "next_cursor": following,
    }


@router.get(
    "/{key}/explain/{ref}",
    summary="Explain why a profile is in a segment or not",
    responses=documented(
        *AUTH,
        SegmentNotFound,
        PurposeNotAllowed,
        ProfileNotFound,
        IdentifierInvalid,
        ok=EXPLANATION,
    ),
)
def explain_member(session: Db, caller: Reader, key: str, ref: Ref) -> dict[str, Any]:
    """Return each condition of the rule, whether it is met now, and what was found.

    `inside` is the membership as it was computed last, `meets` is what the rule says now.
    """
    segment = segments.find(session, key)
    purpose = state_purpose(caller, segment.purpose)
    view = read.view(session, read.find(session, ref), purpose)
    return frame(view, **explain.explain(session, segment, view, now=datetime.now(UTC)))
