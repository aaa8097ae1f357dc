"""What was denied about one person, and what stops the use of their data."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query

from api.auth import Caller, requires
from api.deps import Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.consents import denials
from app.errors import ProfileNotFound
from app.profiles import read
from consent import restrictions
from identity import people
from identity.errors import IdentifierInvalid

router = Resource(tags=["consent"])

Reader = Annotated[Caller, requires("consents:read")]
Subject = Annotated[str, Query(examples=["user_id:u-42"])]
FAILS = (InvalidToken, InsufficientScope, ProfileNotFound, IdentifierInvalid)
DENIED = {
    "denied_at": "2026-11-28T09:30:00+00:00",
    "use": "export",
    "purpose": "marketing.email",
    "reason": "withdrawn",
}
RESTRICTION = {
    "kind": "objection",
    "purpose": "marketing.email",
    "identifier": "user_id:u-42",
    "from": "2026-11-28T09:30:00+00:00",
    "to": None,
    "in_force": True,
    "entry_id": "0f0e6c0c-8a39-4f5c-9d5f-0a4e4b0a1c11",
    "lift_id": None,
}


@router.get(
    "/v1/consents/denied-uses",
    summary="List the decisions that denied a use of one person's data",
    responses=documented(*FAILS, ok={"data": [DENIED]}),
)
def list_denied_uses(
    session: Db, caller: Reader, subject: Subject, limit: Limit = 100
) -> dict[str, list[dict[str, Any]]]:
    """Return reads and exports that were denied, the newest first, for as long as they are kept.

    What is not collected, and who is left out of analyses and matching, is only counted.
    """
    members = people.members(session, [read.find(session, subject).person_id])
    found = denials.of(session, [m.identifier_id for m in members], limit=limit)
    return {
        "data": [
            {
                "denied_at": row.denied_at.isoformat(),
                "use": row.use,
                "purpose": row.purpose,
                "reason": row.reason,
            }
            for row in found
        ]
    }


@router.get(
    "/v1/consents/restrictions",
    summary="List what one person has restricted or objected to",
    responses=documented(*FAILS, ok={"data": [RESTRICTION]}),
)
def list_restrictions(
    session: Db, caller: Reader, subject: Subject
) -> dict[str, list[dict[str, Any]]]:
    """Return restrictions and objections, the oldest first (GDPR art. 18, 21).

    The ledger has each under its `entry_id`, and its lifting under its `lift_id`, which
    `parcours ledger prove` takes.
    """
    now = datetime.now(UTC)
    members = people.members(session, [read.find(session, subject).person_id])
    found = restrictions.of(session, [(m.namespace, m.value) for m in members])
    return {
        "data": [
            {
                "kind": row.kind,
                "purpose": row.purpose_key,
                "identifier": f"{row.namespace}:{row.value}",
                "from": row.from_at.isoformat(),
                "to": row.to_at.isoformat() if row.to_at else None,
                "in_force": row.from_at <= now and (row.to_at is None or row.to_at > now),
                "entry_id": str(row.entry_id),
                "lift_id": str(row.lift_id) if row.lift_id else None,
            }
            for row in found
        ]
    }
