"""Demands of persons that use stops: restriction and objection (GDPR art. 18, 21)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from consent.purposes import Purpose
from consent.resolve import Bar, bar
from consent.tables import Restriction


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand that stands; `purpose_key` None means every purpose."""

    kind: str
    purpose_key: str | None


def demands(
    session: Session, identifiers: Sequence[tuple[str, str]], *, at: datetime
) -> dict[tuple[str, str], list[Demand]]:
    """Return the demands of these identifiers that stand at a time."""
    asked = sa.select(
        sa.func.unnest(sa.cast([namespace for namespace, _ in identifiers], ARRAY(sa.Text))),
        sa.func.unnest(sa.cast([value for _, value in identifiers], ARRAY(sa.Text))),
    )
    query = sa.select(Restriction).where(
        sa.tuple_(Restriction.namespace, Restriction.value).in_(asked),
        Restriction.from_at <= at,
        sa.or_(Restriction.to_at.is_(None), Restriction.to_at > at),
    )
    found: dict[tuple[str, str], list[Demand]] = {}
    for row in session.scalars(query.order_by(Restriction.id)):
        demand = Demand(row.kind, row.purpose_key)
        found.setdefault((row.namespace, row.value), []).append(demand)
    return found


def strictest(purpose: Purpose, demands: Iterable[Demand]) -> Bar | None:
    """Return what these demands mean for a purpose: a restriction before an objection."""
    bars = {bar(purpose, demand.kind, demand.purpose_key) for demand in demands}
    return "restricted" if "restricted" in bars else "objected" if "objected" in bars else None
