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
from app import pipeline, work
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    PurposeNotAllowed,
    SegmentExists,
    SegmentInUse,
    SegmentNotFound,
)
from app.segments import members as segments
from app.segments import uses
from app.segments.tables import Segment
from consent.errors import PurposeNotFound

router = APIRouter(prefix="/v1/segments", tags=["segments"])

Reader = Annotated[Caller, requires("segments:read")]
Writer = Annotated[Caller, requires("segments:write")]
AUTH = (InvalidToken, InsufficientScope)


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
    return _out(session, segment)


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
