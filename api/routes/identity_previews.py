"""Previews: what another rule, threshold or model would do to people, before it does."""

import time
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.auth import Caller, requires
from api.deps import Configuration
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from api.routes.identity_explanations import optional_purpose
from api.routes.identity_rules import NamespaceIn, setting_of
from api.routes.profiles import StatedHeader, StatedQuery
from app.db import Sessions
from app.errors import PurposeNotAllowed, PurposeRequired
from app.identities import merging, previewing
from identity.errors import ModelNotFound, NamespaceRulesInvalid, PreviewTooLarge
from identity.preview import Bounds, Proposal

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
#: Records that are scored anew while a caller waits.
MOST_RECORDS = 20_000
#: Identifiers that are computed anew meanwhile, and seconds that it may take.
MOST_IDENTIFIERS = 100_000
MOST_SECONDS = 30


class NamespaceProposal(NamespaceIn):
    """The rules that a namespace would have."""

    key: str = Field(pattern="^[a-z][a-z0-9_]{0,62}$", examples=["crm_id"])


class IdentityPreviewIn(BaseModel):
    """What would be otherwise; at least one thing."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"namespace": {"key": "crm_id", "limit": 2}, "merge_threshold": 0.9}
        },
    )

    namespace: NamespaceProposal | None = None
    merge_threshold: float | None = Field(default=None, gt=0, lt=1)
    review_threshold: float | None = Field(default=None, gt=0, lt=1)
    model_run: int | None = Field(
        default=None, ge=1, le=2**63 - 1, description="A whole run, whose model would score."
    )

    @model_validator(mode="after")
    def _something(self) -> "IdentityPreviewIn":
        if not self.model_fields_set or all(value is None for _, value in self):
            raise ValueError("state what would be otherwise")
        return self


@router.post(
    "/preview",
    summary="Preview a change of identity",
    responses=documented(
        InvalidToken,
        InsufficientScope,
        PurposeRequired,
        PurposeNotAllowed,
        NamespaceRulesInvalid,
        ModelNotFound,
        PreviewTooLarge,
    ),
)
def preview(
    request: Request,
    caller: Reader,
    configuration: Configuration,
    wanted: IdentityPreviewIn,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> dict[str, Any]:
    """Say who would be merged and split, which consents would conflict, which segments change size.

    Nothing is written and no lock taken. Identifiers of examples are shown for a stated purpose.
    """
    named = wanted.namespace
    proposal = Proposal(
        setting=None if named is None else setting_of(named.key, named),
        merge=wanted.merge_threshold,
        model_run=wanted.model_run,
    )
    sessions: Sessions = request.app.state.sessions
    with sessions() as session:
        merge = merging.threshold(session, configuration, wanted.model_run)
    return previewing.run(
        sessions,
        proposal,
        merge=merge,
        review=configuration.review_threshold,
        new_review=wanted.review_threshold,
        purpose=optional_purpose(caller, purpose, stated),
        bounds=Bounds(MOST_RECORDS, MOST_IDENTIFIERS, time.monotonic() + MOST_SECONDS),
    )
