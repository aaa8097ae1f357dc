"""The proof vault: what is kept against legal claims after an erasure, opened by two people."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Configuration, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.db import Sessions
from app.errors import (
    LedgerKeyUnusable,
    PrivacyRequestInvalid,
    SuppressionKeyUnusable,
    VaultEntryNotFound,
    VaultOpeningDenied,
    VaultOpeningNotFound,
    VaultOpeningState,
)
from app.privacy import vault, vault_openings
from identity import identifiers
from identity.errors import IdentifierInvalid

router = Resource(prefix="/v1/privacy/vault", tags=["privacy"])

Officer = Annotated[Caller, requires("proof:open")]
AUTH = (InvalidToken, InsufficientScope)
OF_ONE = (*AUTH, VaultOpeningNotFound, VaultOpeningState, VaultOpeningDenied)
OPENING: dict[str, Any] = {
    "id": "4b0f5b0e-7b51-4d3c-9b0e-0d8f5a1c2e3f",
    "state": "pending",
    "reason": "claim 4711",
    "requested_by": "cl_5d2f",
    "agree_by": "2026-12-01T09:00:00+00:00",
}


class OpeningIn(BaseModel):
    """Whose proofs are to be opened, and for what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "identifiers": ["email:ada@example.org"],
                "purpose": "marketing.email",
                "reason": "claim 4711",
            }
        },
    )

    identifiers: list[str] = Field(min_length=1, max_length=20)
    purpose: str | None = Field(default=None, max_length=100, description="All, when left out.")
    reason: str = Field(min_length=1, max_length=500, description="The claim; name nobody.")


class RefusalIn(BaseModel):
    """Why an opening is refused."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"reason": "time-barred"}}
    )

    reason: str = Field(min_length=1, max_length=500)


def _now() -> datetime:
    return datetime.now(UTC)


def _sessions(request: Request) -> Sessions:
    """What is denied is put on record too, hence not in the transaction of the request."""
    found: Sessions = request.app.state.sessions
    return found


def _id(text: str) -> UUID:
    """Return the id of an opening; raises VaultOpeningNotFound for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise VaultOpeningNotFound("") from error


def _shown(sessions: Sessions, opening_id: UUID) -> dict[str, Any]:
    with sessions() as session:
        found = vault_openings.find(session, opening_id)
        return vault_openings.describe(session, found, now=_now())


@router.get(
    "",
    summary="Look up what the vault holds of somebody",
    responses=documented(*AUTH, IdentifierInvalid, SuppressionKeyUnusable),
)
def list_vault_entries(
    session: Db,
    caller: Officer,
    subject: Annotated[list[str], Query(min_length=1, max_length=20)],
) -> dict[str, Any]:
    """Return of which purposes proofs of somebody are kept, and until when; no contents."""
    found = vault.of(session, [identifiers.parse(one) for one in subject])
    return {"data": [vault_openings.describe_entry(row) for row in found]}


@router.post(
    "/openings",
    status_code=201,
    summary="Ask to open the vault",
    responses=documented(
        *AUTH,
        VaultEntryNotFound,
        VaultOpeningDenied,
        PrivacyRequestInvalid,
        IdentifierInvalid,
        SuppressionKeyUnusable,
    ),
)
def request_opening(request: Request, caller: Officer, wanted: OpeningIn) -> dict[str, Any]:
    """Ask that the proofs of a person be opened. Another client has 72 hours to agree."""
    sessions = _sessions(request)
    opening_id = vault_openings.request(
        sessions,
        [identifiers.parse(one) for one in wanted.identifiers],
        reason=wanted.reason,
        by=caller.client_id,
        now=_now(),
        purpose=wanted.purpose,
    )
    return _shown(sessions, opening_id)


@router.get("/openings", summary="List openings of the vault", responses=documented(*AUTH))
def list_openings(session: Db, caller: Officer, limit: Limit = 100) -> dict[str, Any]:
    """Return openings with all that happened to each, the newest first."""
    found = vault_openings.list_all(session, limit=limit)
    return {"data": [vault_openings.describe(session, one, now=_now()) for one in found]}


@router.post(
    "/openings/{opening_id}/approval",
    summary="Agree to open the vault",
    responses=documented(*OF_ONE, ok={**OPENING, "state": "approved"}),
)
def approve_opening(request: Request, caller: Officer, opening_id: str) -> dict[str, Any]:
    """Agree to what another client asked for; for an hour the two of you may read."""
    sessions, wanted = _sessions(request), _id(opening_id)
    vault_openings.decide(sessions, wanted, approve=True, by=caller.client_id, now=_now())
    return _shown(sessions, wanted)


@router.post(
    "/openings/{opening_id}/refusal",
    summary="Refuse to open the vault",
    responses=documented(*OF_ONE, ok={**OPENING, "state": "refused"}),
)
def refuse_opening(
    request: Request, caller: Officer, opening_id: str, wanted: RefusalIn
) -> dict[str, Any]:
    """Refuse what another client asked for, or take back what you asked for."""
    sessions, asked = _sessions(request), _id(opening_id)
    vault_openings.decide(
        sessions, asked, approve=False, by=caller.client_id, now=_now(), reason=wanted.reason
    )
    return _shown(sessions, asked)


@router.post(
    "/openings/{opening_id}/proofs",
    summary="Read the proofs that two clients agreed to open",
    responses=documented(*OF_ONE, LedgerKeyUnusable),
)
def read_proofs(
    request: Request,
    response: Response,
    settings: Configuration,
    caller: Officer,
    opening_id: str,
) -> dict[str, Any]:
    """Return the consent records that were kept. Each reading is put on record, hence POST.

    `body` and `key` are what `parcours ledger check --body` compares with the proof of the entry at
    `index`.
    """
    found = vault_openings.read(
        _sessions(request), settings, _id(opening_id), by=caller.client_id, now=_now()
    )
    response.headers["Cache-Control"] = "no-store"
    return {"data": found}
