"""Who is too young: age bands of identifiers, and the age of digital consent by country.

Kept is a band and until when it holds, never a date of birth. Unknown is no band: the decision
then asks for nothing more than of an adult, as the law does (GDPR art. 8(2): reasonable efforts).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.restrictions import among
from consent.tables import AgeBand

Band = Literal["child", "teen", "adult"]
#: From when on somebody agrees to information society services themselves: GDPR art. 8(1), the
#: laws of the member states and of the EEA, and the United Kingdom's.
DIGITAL_CONSENT: dict[str, int] = {
    "AT": 14, "BE": 13, "BG": 14, "CY": 14, "CZ": 15, "DE": 16, "DK": 15, "EE": 13, "ES": 14,
    "FI": 13, "FR": 15, "GB": 13, "GR": 15, "HR": 16, "HU": 16, "IE": 16, "IS": 13, "IT": 14,
    "LI": 16, "LT": 14, "LU": 16, "LV": 13, "MT": 13, "NL": 16, "NO": 13, "PL": 16, "PT": 13,
    "RO": 16, "SE": 13, "SI": 15, "SK": 16,
}  # fmt: skip
#: Where no law of a country is known: that of the regulation.
OTHERWISE, OF_AGE = 16, 18


@dataclass(frozen=True, slots=True)
class Span:
    """A band and when it holds; `to_at` None means until something else is stated."""

    band: str
    from_at: datetime
    to_at: datetime | None


def spans(born: date, country: str, *, at: datetime) -> list[Span]:
    """Return the bands that somebody born then goes through from now on; none is an adult.

    >>> [s.band for s in spans(date(2015, 2, 28), "FR", at=datetime(2026, 1, 1, tzinfo=UTC))]
    ['child', 'teen']
    """
    agrees = _birthday(born, DIGITAL_CONSENT.get(country, OTHERWISE))
    grown = _birthday(born, OF_AGE)
    found = []
    if at < agrees:
        found.append(Span("child", at, agrees))
    if at < grown:
        found.append(Span("teen", max(at, agrees), grown))
    return found


def _birthday(born: date, years: int) -> datetime:
    """Return when somebody reaches an age; born on 29 February, on 1 March where there is none."""
    try:
        day = born.replace(year=born.year + years)
    except ValueError:
        day = date(born.year + years, 3, 1)
    return datetime.combine(day, time(), UTC)


def state(
    session: Session,
    namespace: str,
    value: str,
    told: Sequence[Span],
    *,
    stated_by: str,
    at: datetime,
) -> None:
    """Put on record how old the person of an identifier is, from now on instead of what was said.

    No spans say that they are an adult.
    """
    mine = among(AgeBand, [(namespace, value)])
    session.execute(sa.delete(AgeBand).where(mine, AgeBand.from_at > at))
    standing = sa.or_(AgeBand.to_at.is_(None), AgeBand.to_at > at)
    ended = sa.func.greatest(at, AgeBand.from_at + sa.text("interval '1 ms'"))
    session.execute(sa.update(AgeBand).where(mine, standing).values(to_at=ended))
    session.add_all(
        AgeBand(
            namespace=namespace,
            value=value,
            band=span.band,
            from_at=span.from_at,
            to_at=span.to_at,
            stated_by=stated_by,
        )
        for span in told
    )
    session.flush()


def of(session: Session, identifiers: Collection[tuple[str, str]]) -> list[AgeBand]:
    """Return all that was said of the age of these identifiers, oldest first."""
    query = sa.select(AgeBand).where(among(AgeBand, identifiers)).order_by(AgeBand.id)
    return list(session.scalars(query))


def childhood(session: Session, namespace: str, value: str, *, at: datetime) -> AgeBand | None:
    """Return the band of a child at a time; None for who is none, or of unknown age."""
    rows = of(session, [(namespace, value)])
    standing = [r for r in rows if r.from_at <= at and (r.to_at is None or r.to_at > at)]
    return standing[-1] if standing and standing[-1].band == "child" else None
