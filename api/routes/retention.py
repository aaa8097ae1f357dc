"""How long events of each source and kind are kept."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.errors import RetentionRuleNotFound, SourceNotFound
from app.events.envelope import TYPES
from app.retention import rules
from app.retention.tables import RetentionRule

router = Resource(prefix="/v1/retention", tags=["sources"])

Admin = Annotated[Caller, requires("sources:admin")]
AUTH = (InvalidToken, InsufficientScope)
RULE: dict[str, Any] = {
    "id": 3,
    "source": "shop",
    "type": "track",
    "event": "Product Viewed",
    "days": 90,
}


class RetentionRuleIn(BaseModel):
    """How long some events are kept; what is left out stands for any."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"type": "track", "event": "Product Viewed", "days": 90}},
    )

    source: str | None = Field(default=None, max_length=200, description="The name of a source.")
    type: str | None = Field(
        default=None, pattern=f"^({'|'.join(TYPES)})$", description="The type of the call."
    )
    event: str | None = Field(default=None, max_length=1000, description="The name of the event.")
    days: int | None = Field(
        ge=1, le=36_500, description="Days from the arrival of an event; null: for ever."
    )


def _out(rule: RetentionRule, source: str | None) -> dict[str, Any]:
    return {
        "id": rule.id,
        "source": source,
        "type": rule.type,
        "event": rule.event,
        "days": rule.days,
    }


@router.get("", summary="List retention rules", responses=documented(*AUTH, ok={"data": [RULE]}))
def list_retention_rules(session: Db, caller: Admin) -> dict[str, Any]:
    """Return the rules, the more specific first: for an event the first that fits counts.

    An event that none fits is kept for ever.
    """
    return {"data": [_out(rule, source) for rule, source in rules.list_all(session)]}


@router.put(
    "",
    summary="Set how long events are kept",
    responses=documented(*AUTH, SourceNotFound, ok=RULE),
)
def put_retention_rule(session: Db, caller: Admin, wanted: RetentionRuleIn) -> dict[str, Any]:
    """Set the rule of these events; one for the same source, type and event is replaced.

    The worker deletes once an hour. Traits that deleted events had set stay.
    """
    rule = rules.put(
        session, source=wanted.source, type_=wanted.type, event=wanted.event, days=wanted.days
    )
    return _out(rule, wanted.source)


@router.delete(
    "/{rule_id}",
    status_code=204,
    summary="Remove a retention rule",
    responses=documented(*AUTH, RetentionRuleNotFound),
)
def remove_retention_rule(
    session: Db, caller: Admin, rule_id: Annotated[int, Path(ge=1, le=2**62)]
) -> None:
    """Remove a rule; its events follow the next less specific one from now on."""
    rules.remove(session, rule_id)
