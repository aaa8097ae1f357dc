"""Survivorship: which of several values of a trait is the one of the golden record."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from api.slashes import WithSlashes
from app import work
from app.destinations import syncing
from app.errors import DefinitionInvalid, TraitRuleNotFound
from app.profiles import trait_rules
from app.profiles.survivorship import Name

router = Resource(prefix="/v1/trait-rules", tags=["profiles"])

Reader = Annotated[Caller, requires("profiles:read")]
Admin = Annotated[Caller, requires("identity:admin")]
AUTH = (InvalidToken, InsufficientScope)
Key = Annotated[WithSlashes, Path(min_length=1, max_length=512, examples=["city"])]
RULE: dict[str, Any] = {
    "trait": "city",
    "rule": "most_frequent",
    "sources": [],
    "state": "computing",
    "share": 0.4,
    "set_at": "2026-11-28T10:00:00+00:00",
    "set_by": "cl_2f0c",
}


class RuleIn(BaseModel):
    """The rule of one trait."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"rule": "most_frequent"}}
    )

    rule: Name
    sources: list[str] = Field(
        default=[],
        max_length=100,
        description="Of `source_priority`: names of sources, the one believed first at the front.",
    )


@router.get("", summary="List survivorship rules", responses=documented(*AUTH, ok={"data": [RULE]}))
def list_trait_rules(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the traits that have a rule of their own; of all others the latest value counts.

    A rule whose `state` is `computing` waits until events have been looked through as far as
    `share`; until then the latest value counts.
    """
    return {"data": [trait_rules.describe(found) for found in trait_rules.list_all(session)]}


@router.get(
    "/{key:path}",
    summary="Read the survivorship rule of a trait",
    responses=documented(*AUTH, TraitRuleNotFound, ok=RULE),
)
def read_rule(session: Db, caller: Reader, key: Key) -> dict[str, Any]:
    """Return the rule of a trait with its state."""
    return trait_rules.describe(trait_rules.find(session, key))


@router.put(
    "/{key:path}",
    summary="Set the survivorship rule of a trait",
    responses=documented(*AUTH, DefinitionInvalid, ok=RULE),
)
def put_trait_rule(session: Db, caller: Admin, key: Key, wanted: RuleIn) -> dict[str, Any]:
    """Set which value of a trait survives; profiles are read by it at once.

    The rules that look at every value ever said have the worker look through the events first.
    Segments follow within a minute, and so do destinations that map it. Safe to repeat.
    """
    found = trait_rules.put(session, key, wanted.rule, tuple(wanted.sources), by=caller.client_id)
    syncing.follow_trait(session, key)
    work.wake(session)
    return trait_rules.describe(found)


@router.delete(
    "/{key:path}",
    status_code=204,
    summary="Return to the latest value of a trait",
    responses=documented(*AUTH, TraitRuleNotFound),
)
def remove_trait_rule(session: Db, caller: Admin, key: Key) -> None:
    """Forget the rule of a trait: its latest value counts again, at once."""
    trait_rules.remove(session, key)
    syncing.follow_trait(session, key)
    work.wake(session)
