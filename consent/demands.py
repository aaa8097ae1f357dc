"""What bars a use for a person: restriction and objection (GDPR art. 18, 21), and their age."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from consent.purposes import Purpose
from consent.resolve import BARS, Bar, bar
from consent.tables import AgeBand, Restriction


@dataclass(frozen=True, slots=True)
class Demand:
    """One demand, or age band, that stands; `purpose_key` None means every purpose."""

    kind: str
    purpose_key: str | None


def demands(
    session: Session, identifiers: Sequence[tuple[str, str]], *, at: datetime
) -> dict[tuple[str, str], list[Demand]]:
    """Return the demands of these identifiers that stand at a time, and their age bands then.

    None is set for a later time: what seems to be was set before the clock was set back, and holds.
    """
    asked = _asked(identifiers)
    query = sa.select(Restriction).where(
        sa.tuple_(Restriction.namespace, Restriction.value).in_(asked),
        sa.or_(Restriction.from_at <= at, Restriction.from_at > sa.func.statement_timestamp()),
        sa.or_(Restriction.to_at.is_(None), Restriction.to_at > at),
    )
    found: dict[tuple[str, str], list[Demand]] = {}
    for row in session.scalars(query.order_by(Restriction.id)):
        demand = Demand(row.kind, row.purpose_key)
        found.setdefault((row.namespace, row.value), []).append(demand)
    for who, band in _bands(session, asked, at).items():
        found.setdefault(who, []).append(band)
    return found


def against_storing(
    session: Session, identifiers: Iterable[tuple[str, str]], *, at: datetime
) -> dict[tuple[str, str], list[Demand]]:
    """Return the demands that stop the storing of events too, and the age bands.

    Those are objections (GDPR art. 21). What is restricted may be stored (art. 18(2)).
    """
    found = demands(session, sorted(identifiers), at=at)
    return {who: [d for d in some if d.kind != "restriction"] for who, some in found.items()}


def _bands(session: Session, asked: sa.Select[Any], at: datetime) -> dict[tuple[str, str], Demand]:
    """Return the band that was stated last of each identifier."""
    query = sa.select(AgeBand).where(
        sa.tuple_(AgeBand.namespace, AgeBand.value).in_(asked),
        sa.or_(
            AgeBand.from_at <= at,
            sa.and_(AgeBand.band == "child", AgeBand.from_at > sa.func.statement_timestamp()),
        ),
        sa.or_(AgeBand.to_at.is_(None), AgeBand.to_at > at),
    )
    rows = session.scalars(query.order_by(AgeBand.id))
    return {(row.namespace, row.value): Demand(row.band, None) for row in rows}


def _asked(identifiers: Sequence[tuple[str, str]]) -> sa.Select[Any]:
    """Return identifiers as rows: as two arrays, of which there is no limit."""
    return sa.select(
        sa.func.unnest(sa.cast([namespace for namespace, _ in identifiers], ARRAY(sa.Text))),
        sa.func.unnest(sa.cast([value for _, value in identifiers], ARRAY(sa.Text))),
    )


def strictest(purpose: Purpose, demands: Iterable[Demand]) -> Bar | None:
    """Return the strictest of what these mean for a purpose."""
    bars = {bar(purpose, demand.kind, demand.purpose_key) for demand in demands}
    return next((one for one in BARS if one in bars), None)
