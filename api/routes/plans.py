"""Tracking plans: what each source should send, and where it differed."""

from typing import Annotated, Any

from fastapi import Header, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    SourceNotFound,
    TrackingPlanAttached,
    TrackingPlanChanged,
    TrackingPlanExists,
    TrackingPlanNotFound,
    TrackingPlanUnpublished,
)
from app.plans import versions
from app.plans.definition import KEY, LONGEST_TITLE
from app.plans.tables import TrackingPlan, TrackingPlanVersion

router = Resource(prefix="/v1/tracking-plans", tags=["tracking plans"])

Admin = Annotated[Caller, requires("sources:admin")]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag that was read; refused with 412 when the plan is another now."),
]
AUTH = (InvalidToken, InsufficientScope)

DEFINITION: dict[str, Any] = {
    "mode": "observe",
    "unplanned_events": "observe",
    "rules": [
        {
            "type": "track",
            "event": "Order Completed",
            "mode": "reject",
            "properties": {
                "type": "object",
                "required": ["order_id", "revenue", "currency"],
                "properties": {
                    "order_id": {"type": "string", "minLength": 1},
                    "revenue": {"type": "number", "minimum": 0},
                    "currency": {"enum": ["EUR", "USD"]},
                },
                "additionalProperties": False,
            },
        },
        {
            "type": "identify",
            "traits": {
                "type": "object",
                "properties": {"email": {"type": "string", "format": "email"}},
            },
        },
    ],
}


class PlanChange(BaseModel):
    """A plan as it should be; written as its draft."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"title": "Web shop", "definition": DEFINITION}},
    )

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    definition: dict[str, Any]


class PlanIn(PlanChange):
    """A plan to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"key": "shop", "title": "Web shop", "definition": DEFINITION}
        }
    )

    key: str = Field(pattern=KEY)


def _version(version: TrackingPlanVersion | None) -> dict[str, Any] | None:
    if version is None:
        return None
    return {
        "version": version.number,
        "published_at": version.published_at.isoformat() if version.published_at else None,
        "created_at": version.created_at.isoformat(),
        "definition": version.definition,
    }


def _out(session: Session, plan: TrackingPlan, response: Response | None = None) -> dict[str, Any]:
    """Return a plan as JSON, and its ETag (RFC 9110 §8.8.3) in the header of the answer."""
    seen = versions.overview(session, plan)
    if response is not None:
        response.headers["ETag"] = f'"{plan.revision}"'
    return {
        "key": plan.key,
        "title": plan.title,
        "revision": plan.revision,
        "sources": list(seen.sources),
        "published": _version(seen.published),
        "draft": _version(seen.draft),
        "created_at": plan.created_at.isoformat(),
    }


def _revision(if_match: str | None) -> int | None:
    """Return the revision a caller has read; raises TrackingPlanChanged for an ETag not ours."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip().strip('"')
    if not (tag.isascii() and tag.isdigit() and len(tag) < 19):
        raise TrackingPlanChanged("If-Match is not an ETag of this server")
    return int(tag)


@router.post(
    "",
    status_code=201,
    summary="Create a tracking plan",
    responses=documented(*AUTH, DefinitionInvalid, TrackingPlanExists),
)
def create_plan(session: Db, caller: Admin, wanted: PlanIn, response: Response) -> dict[str, Any]:
    """Create a plan with a draft. It does nothing until it is published and attached."""
    plan = versions.create(
        session, key=wanted.key, title=wanted.title, definition=wanted.definition
    )
    return _out(session, plan, response)


@router.get("", summary="List tracking plans", responses=documented(*AUTH, CursorInvalid))
def list_plans(
    session: Db, caller: Admin, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the plans by key, each with its version in force, its draft and its sources."""
    after = cursors.decode(cursor, str)[0] if cursor else None
    plans = versions.list_page(session, after=after, limit=limit + 1)
    more = cursors.encode(plans[limit - 1].key) if len(plans) > limit else None
    return {"data": [_out(session, plan) for plan in plans[:limit]], "next_cursor": more}


@router.get(
    "/{key}", summary="Read a tracking plan", responses=documented(*AUTH, TrackingPlanNotFound)
)
def read_plan(session: Db, caller: Admin, key: str, response: Response) -> dict[str, Any]:
    """Return a plan with its version in force, its draft and its sources; `ETag` for a change."""
    return _out(session, versions.find(session, key), response)


@router.put(
    "/{key}",
    summary="Change a tracking plan",
    responses=documented(*AUTH, TrackingPlanNotFound, DefinitionInvalid, TrackingPlanChanged),
)
def change_plan(
    session: Db,
    caller: Admin,
    key: str,
    wanted: PlanChange,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Write the draft: the one that waits, or a new one. What is published never changes."""
    plan = versions.edit(
        session,
        key,
        title=wanted.title,
        definition=wanted.definition,
        revision=_revision(if_match),
    )
    return _out(session, plan, response)


@router.delete(
    "/{key}",
    status_code=204,
    summary="Delete a tracking plan",
    responses=documented(*AUTH, TrackingPlanNotFound, TrackingPlanAttached, TrackingPlanChanged),
)
def delete_plan(session: Db, caller: Admin, key: str, if_match: IfMatch = None) -> None:
    """Delete a plan with its versions and violations; detach its sources first."""
    versions.remove(session, key, revision=_revision(if_match))


@router.post(
    "/{key}/publish",
    summary="Publish the draft",
    responses=documented(*AUTH, TrackingPlanNotFound, TrackingPlanUnpublished, TrackingPlanChanged),
)
def publish_plan(
    session: Db, caller: Admin, key: str, response: Response, if_match: IfMatch = None
) -> dict[str, Any]:
    """Put the draft in force for every source of the plan, on every server within 2 seconds."""
    versions.publish(session, key, revision=_revision(if_match))
    return _out(session, versions.find(session, key), response)


@router.get(
    "/{key}/versions",
    summary="List versions",
    responses=documented(*AUTH, TrackingPlanNotFound, CursorInvalid),
)
def list_plan_versions(
    session: Db, caller: Admin, key: str, limit: Limit = 20, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the versions of a plan, the newest first."""
    below = cursors.decode(cursor, int)[0] if cursor else None
    plan = versions.find(session, key)
    rows = versions.list_versions(session, plan, below=below, limit=limit + 1)
    more = cursors.encode(rows[limit - 1].number) if len(rows) > limit else None
    return {"data": [_version(row) for row in rows[:limit]], "next_cursor": more}


@router.get(
    "/{key}/versions/{number}",
    summary="Read a version",
    responses=documented(*AUTH, TrackingPlanNotFound),
)
def read_version(session: Db, caller: Admin, key: str, number: int) -> dict[str, Any]:
    """Return one version of a plan as it was published."""
    plan = versions.find(session, key)
    return {"key": key, **(_version(versions.version(session, plan, number)) or {})}


@router.put(
    "/{key}/sources/{source:path}",
    status_code=204,
    summary="Attach a source",
    responses=documented(*AUTH, TrackingPlanNotFound, TrackingPlanUnpublished, SourceNotFound),
)
def attach_source(session: Db, caller: Admin, key: str, source: str) -> None:
    """Put the events of a source, by its name, to this plan instead of the one it had."""
    versions.attach(session, key, source)


@router.delete(
    "/{key}/sources/{source:path}",
    status_code=204,
    summary="Detach a source",
    responses=documented(*AUTH, TrackingPlanNotFound, SourceNotFound),
)
def detach_source(session: Db, caller: Admin, key: str, source: str) -> None:
    """Stop putting the events of a source to this plan."""
    versions.detach(session, key, source)
