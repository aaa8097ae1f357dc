"""The decision for sets: whose identifiers may be used for a purpose, in one statement."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

import consent
from app.db import statement
from consent.resolve import UNCONDITIONAL


@dataclass(frozen=True, slots=True)
class Permission:
    """What the decision says of one identifier."""

    identifier_id: int
    group_id: int
    person_id: int
    allowed: bool
    reason: str


def parameters(purpose: consent.Purpose, people: Collection[int] | None) -> dict[str, Any]:
    """Return the parameters of `permission.sql`; `people` None means everybody."""
    return {
        "purpose": purpose.key,
        "mode": purpose.mode,
        "lawful_basis": purpose.lawful_basis,
        "unconditional": purpose.lawful_basis in UNCONDITIONAL,
        "people": sorted(people) if people is not None else None,
    }


def permissions(
    session: Session, purpose_key: str, people: Collection[int] | None = None
) -> list[Permission]:
    """Say of every identifier of these people whether it may be used for the purpose.

    Raises PurposeNotFound: a purpose that is not in the catalogue allows nothing.
    """
    purpose = consent.catalogue.purpose(session, purpose_key)
    rows = session.execute(statement("app.consents", "permission"), parameters(purpose, people))
    return [Permission(r.identifier_id, r.group_id, r.person_id, r.allowed, r.reason) for r in rows]
