"""What tracking plans find: proposals from what arrived, dry runs, violations."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Configuration, Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.moments import Moment
from api.problems import documented
from api.resource import Resource
from app.errors import CursorInvalid, SourceNotFound, TrackingPlanNotFound
from app.events import body, envelope, planned
from app.events.body import to_message
from app.plans import arrivals, in_force, versions, violations
from app.plans.check import Violation

router = Resource(prefix="/v1/tracking-plans", tags=["tracking plans"])

Admin = Annotated[Caller, requires("sources:admin")]
AUTH = (InvalidToken, InsufficientScope)

ORDER: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-42",
    "properties": {"order_id": "o-7", "revenue": 59.9, "currency": "EUR"},
}
VERDICT: dict[str, Any] = {
    "version": 3,
    "violations": [{"pointer": "/properties/revenue", "keyword": "type", "action": "rejected"}],
    "outcome": "rejected",
    "code": "plan_violation",
    "message": "plan shop version 3: /properties/revenue type",
}
PROPOSAL: dict[str, Any] = {
    "definition": {
        "mode": "observe",
        "unplanned_events": "observe",
        "rules": [
            {
                "type": "track",
                "event": "Order Completed",
                "description": "Seen 812 times.",
                "properties": {
                    "type": "object",
                    "properties": {"revenue": {"type": "number", "x-seen": 812}},
                    "required": ["revenue"],
                },
            }
        ],
    },
    "events": 10_000,
    "left_out": 3,
}
VIOLATIONS: dict[str, Any] = {
    "data": [
        {
            "version": 3,
            "source": "web",
            "type": "track",
            "event": "Order Completed",
            "pointer": "/properties/revenue",
            "keyword": "type",
            "action": "rejected",
            "events": 214,
            "first_at": "2026-11-22T08:00:04+00:00",
            "last_at": "2026-11-22T09:12:44+00:00",
            "message_id": "a2f7c1d0",
        }
    ],
    "totals": {"violations": 214, "observed": 0, "dropped": 0, "rejected": 214},
    "next_cursor": None,
}


class DryRun(BaseModel):
    """An event as an SDK sends it, to be put to a plan without being stored."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"event": ORDER}})

    event: dict[str, Any]
    version: int | None = Field(
        default=None, ge=1, lt=2**62, description="The newest one, drafts included, unless stated."
    )


class Inference(BaseModel):
    """Which arrivals to propose a plan from."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"source": "web", "limit": 10_000}}
    )

    source: str = Field(min_length=1, max_length=200)
    since: Moment | None = Field(default=None, description="30 days ago unless stated.")
    limit: int = Field(default=10_000, ge=1, le=100_000, description="Events to look at, at most.")
    required_share: float = Field(
        default=0.98, gt=0, le=1, description="Required is what is there in this share of events."
    )


def _violation(found: Violation) -> dict[str, str]:
    return {"pointer": found.pointer, "keyword": found.keyword, "action": found.action}


@router.post(
    "/infer",
    summary="Propose a tracking plan from what arrived",
    responses=documented(*AUTH, SourceNotFound, ok=PROPOSAL),
)
def infer_plan(session: Db, caller: Admin, wanted: Inference) -> dict[str, Any]:
    """Read the newest events of a source and propose a definition, to be edited and created.

    It holds names, types, formats and counts. Values appear only as enumerations of few plain
    words that many people share; never those of traits.
    """
    proposal = arrivals.infer(
        session,
        wanted.source,
        since=wanted.since or datetime.now(UTC) - timedelta(days=30),
        limit=wanted.limit,
        required_share=wanted.required_share,
    )
    return proposal._asdict()


@router.post(
    "/{key}/validate",
    summary="Put an event to the plan without storing it",
    responses=documented(*AUTH, TrackingPlanNotFound, ok=VERDICT),
)
def validate_event(
    session: Db, caller: Admin, configuration: Configuration, key: str, wanted: DryRun
) -> dict[str, Any]:
    """Say what would become of an event, and return it as it would be stored."""
    plan = versions.find(session, key)
    version = (
        versions.version(session, plan, wanted.version)
        if wanted.version
        else versions.newest(session, plan)
    )
    read = envelope.read(
        to_message(wanted.event),
        received_at=datetime.now(UTC),
        largest=configuration.max_event_bytes,
    )
    found: tuple[Violation, ...] = ()
    if isinstance(read, envelope.Envelope):
        read, found = planned.put(in_force.of_version(plan, version), read)
    answer: dict[str, Any] = {
        "version": version.number,
        "violations": [_violation(v) for v in found],
    }
    if isinstance(read, envelope.Rejection):
        return {**answer, "outcome": "rejected", "code": read.code, "message": read.message}
    values = "traits" if read.type in ("identify", "group") else "properties"
    event = {
        "type": read.type,
        "name": read.name,
        values: body.values_of(read.properties),
        "context": body.values_of(read.context),
    }
    return {**answer, "outcome": "accepted", "event": event}


@router.get(
    "/{key}/violations",
    summary="List violations",
    responses=documented(*AUTH, TrackingPlanNotFound, CursorInvalid, ok=VIOLATIONS),
)
def list_violations(
    session: Db,
    caller: Admin,
    key: str,
    source: Annotated[str | None, Query(description="The name of a source.")] = None,
    version: Annotated[int | None, Query(ge=1, lt=2**62)] = None,
    type: Annotated[str | None, Query(description="A call type.")] = None,
    event: str | None = None,
    keyword: Annotated[
        str | None, Query(description="A JSON Schema keyword, or unplanned_event.")
    ] = None,
    action: Literal["observed", "dropped", "rejected"] | None = None,
    since: Annotated[
        Moment | None, Query(description="7 days ago unless stated; whole hours.")
    ] = None,
    until: Moment | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Return the kinds of violation with their counts, and the totals of all that match.

    A violation names the place and the rule, never the value. `events` counts events: one that
    breaks a rule at three places of a list counts once. Kept for 90 days.
    """
    now = datetime.now(UTC)
    wanted = violations.Wanted(
        since=since or now - timedelta(days=7),
        until=until or now + timedelta(hours=1),
        source=source,
        version=version,
        type=type,
        event=event,
        keyword=keyword,
        action=action,
    )
    plan = versions.find(session, key)
    rows, following = violations.list_page(session, plan, wanted, after=cursor, limit=limit)
    return {
        "data": [
            {
                **row._asdict(),
                "first_at": row.first_at.isoformat(),
                "last_at": row.last_at.isoformat(),
            }
            for row in rows
        ],
        "totals": violations.totals(session, plan, wanted),
        "next_cursor": following,
    }
