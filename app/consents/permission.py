"""The decision for sets: whose identifiers may be used for a purpose, in one statement."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

import consent
from app.db import statement
from consent.resolve import UNCONDITIONAL, UNRESTRICTED

#: What is done with the data: counted without naming anybody, or anything else.
Use = Literal["analyse", "person"]


@dataclass(frozen=True, slots=True)
class Permission:
    """What the decision says of one identifier."""

    identifier_id: int
    group_id: int
    person_id: int
    allowed: bool
    reason: str


def parameters(
    purpose: consent.Purpose, people: Collection[int] | None, *, use: Use = "person"
) -> dict[str, Any]:
    """Return the parameters of `permission.sql`; `people` None means everybody."""
    return {
        "purpose": purpose.key,
        "mode": purpose.mode,
        "renewed": purpose.renewed,
        "explicit": purpose.explicit,
        "lawful_basis": purpose.lawful_basis,
        "unconditional": purpose.lawful_basis in UNCONDITIONAL,
        "restrictable": purpose.lawful_basis not in UNRESTRICTED,
        "objectable": purpose.lawful_basis in ("legitimate_interests", "public_task"),
        "direct_marketing": purpose.direct_marketing,
        "unlinkable": not purpose.linkable and use != "analyse",
        "people": sorted(people) if people is not None else None,
    }


def permissions(
    session: Session,
    purpose_key: str,
    people: Collection[int] | None = None,
    *,
    use: Use = "person",
) -> list[Permission]:
    """Say of every identifier of these people whether it may be used for the purpose.

    A purpose that is not `linkable` allows only `analyse`, and its data stay with the identifier
    that brought them: there every identifier is a person of its own. Raises PurposeNotFound: a
    purpose that is not in the catalogue allows nothing.
    """
    purpose = consent.catalogue.purpose(session, purpose_key)
    rows = session.execute(
        statement("app.consents", "permission"), parameters(purpose, people, use=use)
    )
    if not purpose.linkable:
        return [
            Permission(r.identifier_id, r.group_id, r.identifier_id, r.allowed, r.reason)
            for r in rows
        ]
    return [Permission(r.identifier_id, r.group_id, r.person_id, r.allowed, r.reason) for r in rows]
