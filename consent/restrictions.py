"""Sets and lifts restrictions and objections (GDPR art. 18, 21); `demands` reads what stands."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from consent.ledger.store import statement
from consent.tables import Restriction

RESTRICTION, OBJECTION, MARKETING = "restriction", "objection", "objection_marketing"


def restrict(
    session: Session,
    identifiers: Collection[tuple[str, str]],
    kind: str,
    *,
    reason_ref: str,
    at: datetime,
    purpose_key: str | None = None,
) -> list[int]:
    """Set the same restriction for each identifier, from `at` until lifted; return their ids.

    Whatever another request has set stands beside it, and outlives its lifting. What this one
    (`reason_ref`) has set already is left as it is. Each becomes an entry of the ledger, found by
    its `entry_id`.
    """
    said = (kind, purpose_key, reason_ref)
    mine = {
        (one.namespace, one.value)
        for one in of(session, identifiers)
        if (one.kind, one.purpose_key, one.reason_ref) == said
    }
    rows = [
        Restriction(
            namespace=namespace,
            value=value,
            kind=kind,
            purpose_key=purpose_key,
            # By the clock that decides: one of a server that is ahead would leave it without force.
            from_at=sa.func.least(at, sa.func.statement_timestamp()),
            reason_ref=reason_ref,
        )
        for namespace, value in sorted(set(identifiers) - mine)
    ]
    session.add_all(rows)
    session.flush()
    ids = [row.id for row in rows]
    session.execute(statement("restriction_set"), {"ids": ids})
    return ids


def lift(session: Session, reason_ref: str, *, at: datetime) -> int:
    """End what one request has set, which the ledger tells of too; return how many."""
    ended = session.scalars(
        sa.update(Restriction)
        .where(
            Restriction.reason_ref == reason_ref,
            sa.or_(Restriction.to_at.is_(None), Restriction.to_at > at),
        )
        .values(
            to_at=sa.func.greatest(at, Restriction.from_at + sa.text("interval '1 ms'")),
            lift_id=sa.func.gen_random_uuid(),
        )
        .returning(Restriction.id)
    ).all()
    session.execute(statement("restriction_lifted"), {"ids": list(ended)})
    return len(ended)


def of(
    session: Session, identifiers: Collection[tuple[str, str]], *, at: datetime | None = None
) -> list[Restriction]:
    """Return the restrictions of these identifiers, in force at a time or all, oldest first."""
    query = sa.select(Restriction).where(among(Restriction, identifiers))
    if at is not None:
        query = query.where(
            Restriction.from_at <= at, sa.or_(Restriction.to_at.is_(None), Restriction.to_at > at)
        )
    return list(session.scalars(query.order_by(Restriction.id)))


def among(table: type, identifiers: Collection[tuple[str, str]]) -> sa.ColumnElement[bool]:
    """Say that a row is of one of these identifiers; as two arrays, of which there is no limit."""
    asked = sa.select(
        sa.func.unnest(sa.cast([namespace for namespace, _ in identifiers], ARRAY(sa.Text))),
        sa.func.unnest(sa.cast([value for _, value in identifiers], ARRAY(sa.Text))),
    )
    return sa.tuple_(table.namespace, table.value).in_(asked)  # type: ignore[attr-defined]  # both
