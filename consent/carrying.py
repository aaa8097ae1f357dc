"""Carries what identifiers deny over to others, which take their place; never what they allow.

An address that was put right identifies its person no more. What was refused under it was refused
by the person, and has to be heard under the new one (GDPR art. 7(3), 16, 18, 21). A grant is not
carried: it was given under the other address, and the new one can say it itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from consent import catalogue
from consent.ledger import statements
from consent.ledger.store import statement
from consent.records import Written

Identifier = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Carried:
    """What was carried: records of refusals, and how many demands, bands and TC strings."""

    refusals: tuple[Written, ...] = ()
    restrictions: int = 0
    ages: int = 0


def carry(
    session: Session,
    old: Collection[Identifier],
    to: Collection[Identifier],
    *,
    by: str,
    at: datetime,
) -> Carried:
    """Have all that the old identifiers deny be denied by each of the others too.

    Refusals and universal opt-outs that stand, restrictions, objections, age bands, and TC strings
    as far as they deny. Each copy is a record, and an entry of the ledger, of its own; that of a
    refusal names the record it is of, and `by`, what carried it. The old ones stay as they are.
    What stands later against something carried lifts it as it would have lifted the original.
    """
    if not old or not to:
        return Carried()
    catalogue.hold(session)  # what is added below a purpose meanwhile would miss what is carried
    asked = {
        "namespaces": [n for n, _ in old], "values": [v for _, v in old],
        "to_namespaces": [n for n, _ in to], "to_values": [v for _, v in to],
    }  # fmt: skip
    rows = session.execute(statement("carry_refusals"), {**asked, "by": by}).all()
    ids = list(session.scalars(statement("carry_restrictions"), {**asked, "at": at}))
    session.execute(statement("restriction_set"), {"ids": ids})
    ages = _ages(session, asked, by, at)
    session.execute(statement("carry_tc_strings"), asked)
    refusals = tuple(
        Written(
            str(row.id), row.namespace, row.value, row.purpose, row.state, int(row.transaction),
            row.order_time, (row.order_time, row.effective_at),
        )
        for row in rows
    )  # fmt: skip
    return Carried(refusals, len(ids), ages)


def _ages(session: Session, asked: dict[str, list[str]], by: str, at: datetime) -> int:
    """Carry the bands, and state them in the ledger, sealed, as every other statement of an age."""
    found: dict[Identifier, list[dict[str, str | None]]] = {}
    for row in session.execute(statement("carry_ages"), {**asked, "at": at}):
        band = {
            "band": row.band,
            "from": row.from_at.isoformat(),
            "to": row.to_at.isoformat() if row.to_at else None,
            "stated_by": row.stated_by,
        }
        found.setdefault((row.namespace, row.value), []).append(band)
    for who, bands in sorted(found.items()):
        body = {"stated_by": by, "stated_at": at.isoformat(), "bands": bands}
        statements.append(session, "admin", {"act": "age_stated"}, subject=who, body=body)
    return sum(map(len, found.values()))
