"""Versions of what matching has learnt: list, compare, roll back, and let it learn again."""

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.identities import versions
from identity import models
from identity.errors import ModelNotFound

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
Admin = Annotated[Caller, requires("identity:admin")]
AUTH = (InvalidToken, InsufficientScope)
LARGEST = 2**63 - 1


@router.get("/models", summary="List what matching has learnt", responses=documented(*AUTH))
def list_models(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the versions that are kept, newest first, and which one new records are scored by."""
    return {"data": [models.describe(version) for version in models.list_all(session)]}


@router.get(
    "/models/{run_id}",
    summary="Compare two versions of what matching has learnt",
    responses=documented(*AUTH, ModelNotFound),
)
def read_model(
    session: Db,
    caller: Reader,
    run_id: Annotated[int, Path(ge=1, le=LARGEST)],
    beside: Annotated[
        int | None,
        Query(ge=1, le=LARGEST, description="Another version; the one in force unless stated."),
    ] = None,
) -> dict[str, Any]:
    """Return a version with the match weights of its degrees of agreement, beside another's.

    What it would do to people says `POST /v1/identity/preview` with its `model_run`.
    """
    return versions.compared(session, run_id, beside)


class RollBackIn(BaseModel):
    """To which version."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"run_id": 12}})

    run_id: int | None = Field(
        default=None, ge=1, le=LARGEST, description="The one before the one in force, unless said."
    )


@router.post(
    "/models/rollback",
    status_code=202,
    summary="Roll what matching has learnt back",
    responses=documented(*AUTH, ModelNotFound),
)
def roll_back_model(session: Db, caller: Admin, wanted: RollBackIn) -> dict[str, Any]:
    """Hold on to an earlier version; a whole run scores everybody by it.

    Until `POST /v1/identity/models/resume` all runs score by it, and learn nothing.
    """
    return versions.roll_back(session, wanted.run_id, by=caller.client_id)


@router.post(
    "/models/resume",
    status_code=202,
    summary="Let matching learn again",
    responses=documented(*AUTH),
)
def resume_learning(session: Db, caller: Admin) -> dict[str, Any]:
    """Hold on to no version any more; a whole run learns anew. Safe to repeat."""
    return versions.resume(session, by=caller.client_id)
