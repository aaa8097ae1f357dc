"""Computed traits: what is made of a person's events, for a stated purpose."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import work
from app.destinations import registry
from app.errors import (
    ComputedTraitInUse,
    ComputedTraitNotFound,
    DefinitionInvalid,
    PurposeNotAllowed,
)
from app.profiles import computed_traits as traits
from app.profiles import computing
from app.profiles.tables import ComputedTrait
from app.segments import uses
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/computed-traits", tags=["profiles"])

Reader = Annotated[Caller, requires("segments:read")]
Writer = Annotated[Caller, requires("segments:write")]
AUTH = (InvalidToken, InsufficientScope)
Key = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", examples=["orders_90d"])]
DEFINITION: dict[str, Any] = {
    "kind": "sum",
    "event": "Order Completed",
    "prop": "revenue",
    "where": [{"prop": "currency", "op": "eq", "value": "EUR"}],
    "within_days": 90,
}
TRAIT: dict[str, Any] = {
    "key": "revenue_90d",
    "name": "Revenue of 90 days",
    "purpose": "marketing.email",
    "definition": DEFINITION,
    "state": "computing",
    "share": 0.42,
    "size": 4211,
    "waiting": 0,
    "created_at": "2026-11-28T10:00:00+00:00",
    "updated_at": "2026-11-28T10:00:00+00:00",
    "computed_at": None,
    "bounds_at": None,
    "milliseconds": 5120.5,
    "error": None,
    "failed_at": None,
}


class ComputedIn(BaseModel):
    """What a computed trait is to say."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Revenue of 90 days",
                "purpose": "marketing.email",
                "definition": DEFINITION,
            }
        },
    )

    name: str = Field(min_length=1, max_length=200)
    purpose: str = Field(max_length=100, description="Whose consent decides what enters.")
    definition: dict[str, Any]


def _shown(session: Session, trait: ComputedTrait, caller: Caller) -> dict[str, Any]:
    """Return a computed trait; who may not state its purpose learns of no number of people."""
    shown = computing.describe(session, trait, now=datetime.now(UTC))
    mine = trait.purpose in caller.purposes
    return shown if mine else {**shown, "size": None, "waiting": None}


@router.get("", summary="List computed traits", responses=documented(*AUTH, ok={"data": [TRAIT]}))
def list_traits(session: Db, caller: Reader) -> dict[str, Any]:
    """Return all computed traits with state, progress, size and last error.

    `state` is `computing` until everybody was computed first, then `fresh`; `refreshing` while
    everybody is computed again because events were deleted; `error` when PostgreSQL refuses the
    definition, which is tried again each minute. `waiting` are values that time has made another.
    `bounds_at` is as of when the fifths of the people are by which a trait scores. `size` and
    `waiting` are null of a purpose that the client is not registered for.
    """
    return {"data": [_shown(session, trait, caller) for trait in traits.list_all(session)]}


@router.get(
    "/{key}",
    summary="Read a computed trait",
    responses=documented(*AUTH, ComputedTraitNotFound, ok=TRAIT),
)
def read_trait(session: Db, caller: Reader, key: Key) -> dict[str, Any]:
    """Return the definition of a computed trait with its state; no values of people."""
    return _shown(session, traits.find(session, key), caller)


@router.put(
    "/{key}",
    summary="Define a computed trait",
    responses=documented(*AUTH, DefinitionInvalid, PurposeNotAllowed, PurposeNotFound, ok=TRAIT),
)
def put_trait(session: Db, caller: Writer, key: Key, wanted: ComputedIn) -> dict[str, Any]:
    """Define a computed trait or change it; the worker then computes everybody, and says how far.

    Its purpose cannot be changed, and the client must be registered for it: how many have a value
    tells what they did. Sent again as it is, nothing is computed anew.
    """
    state_purpose(caller, wanted.purpose)
    trait = traits.put(
        session, key=key, name=wanted.name, purpose=wanted.purpose, definition=wanted.definition
    )
    session.refresh(trait)
    work.wake(session)
    return _shown(session, trait, caller)


@router.delete(
    "/{key}",
    status_code=204,
    summary="Delete a computed trait",
    responses=documented(*AUTH, ComputedTraitNotFound, ComputedTraitInUse),
)
def delete_trait(session: Db, caller: Writer, key: Key) -> None:
    """Delete a computed trait and what was computed; refused while segments or destinations use it.

    A field to which it is mapped would be emptied at the receiver.
    """
    traits.find(session, key)
    uses.free_trait(session, key)
    registry.free_trait(session, key)
    traits.remove(session, key)
