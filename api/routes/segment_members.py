"""Who is in segments, was in them, or would be in one that is not saved."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import state_purpose
from api.deps import Cursor, Db, Limit
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import may_read_traits
from api.routes.profiles import Ref, frame
from api.routes.segments import AUTH, Reader, state_purposes, traits_asked
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    ProfileNotFound,
    PurposeNotAllowed,
    SegmentNotFound,
)
from app.profiles import read
from app.segments import explain, overlap, preview, uses
from app.segments import members as segments
from consent.errors import PurposeNotFound
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/segments", tags=["segments"])

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


OVERLAP: dict[str, Any] = {
    "combinations": [
        {"segments": ["buyers"], "size": 1204, "only": 800},
        {"segments": ["readers"], "size": 2040, "only": 1636},
        {"segments": ["buyers", "readers"], "size": 404, "only": 404},
    ],
    "union": 2840,
}


class SegmentPreviewIn(BaseModel):
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
def preview_segment(session: Db, caller: Reader, wanted: SegmentPreviewIn) -> dict[str, Any]:
    """Return whom a rule would select now: size and examples; nothing is stored.

    `warnings` point at names that nobody has sent lately, with the nearest ones. A preview that
    takes longer than 30 seconds is given up (503). Whoever asks by the values of a trait reads it:
    that needs `profiles:read`, as a profile does.
    """
    purpose = state_purpose(caller, wanted.purpose)
    rule = segments.parse(wanted.rule)
    uses.check(session, rule, purpose)
    state_purposes(session, caller, rule, purpose)
    may_read_traits(caller, traits_asked(rule))
    return preview.preview(session, purpose=purpose, rule=wanted.rule, now=datetime.now(UTC))


@router.get(
    "/overlap",
    summary="Count who is in several segments",
    responses=documented(*AUTH, SegmentNotFound, PurposeNotAllowed, DefinitionInvalid, ok=OVERLAP),
)
def count_overlap(
    session: Db,
    caller: Reader,
    segment: Annotated[list[str], Query(min_length=2, max_length=overlap.MOST)],
) -> dict[str, Any]:
    """Return how many members each of these has, each combination of them, and all together.

    Of members whose data may be used now; the caller must be registered for each purpose. `only`
    are in no other of these segments. Given up after 30 seconds (503).
    """
    found = [segments.find(session, key) for key in dict.fromkeys(segment)]
    for one in found:
        state_purpose(caller, one.purpose)
    return overlap.overlap(session, found)


@router.get(
    "/{key}/members",
    summary="List members",
    responses=documented(*AUTH, SegmentNotFound, PurposeNotAllowed, CursorInvalid),
)
def list_segment_members(
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
    """Return the stays of each profile, past ones with why they ended; a page may be short.

    `version` is that of the definition by which the profile came in.
    """
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
                "version": r.version,
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

    `inside` is the membership as it was computed last, `meets` is what the rule says now. Of a rule
    that asks for traits it needs `profiles:read`.
    """
    segment = segments.find(session, key)
    purpose = state_purpose(caller, segment.purpose)
    rule = segments.rule_of(segment)
    state_purposes(session, caller, rule, purpose)
    may_read_traits(caller, traits_asked(rule))
    view = read.view(session, read.find(session, ref), purpose)
    return frame(view, **explain.explain(session, segment, view, now=datetime.now(UTC)))
