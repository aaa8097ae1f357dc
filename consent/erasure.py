"""Erases what the schema `consent` holds of identifiers, in a transaction that says it does."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger import statements
from consent.ledger.store import statement
from consent.ledger.tables import LedgerStatement
from consent.restrictions import among
from consent.tables import (
    AgeBand,
    CarriedTcString,
    ConsentRecord,
    Erasure,
    JournalDue,
    Restriction,
    TcStringRow,
)

#: What each table of this schema holds of a person, and what becomes of it.
HOLDS: dict[str, str] = {
    "consent.record": "rows of the identifiers",
    "consent.restriction": "rows of the identifiers",
    "consent.age_band": "rows of the identifiers",
    "consent.ledger_statement": "rows of the identifiers",
    "consent.ledger_sealed": "sealed under the identifier's key, which is destroyed; then deleted",
    "consent.ledger_entry": "keyed references and commitments, of nobody once the key is gone",
    "consent.ledger_node": "hashes of entries",
    "consent.ledger_checkpoint": "of nobody",
    "consent.ledger_key": "of nobody",
    "consent.tc_string": "rows of the identifiers",
    "consent.carried_tc_string": "rows of the identifiers",
    "consent.journal_due": "rows of the identifiers",
    "consent.refusal_journal": "of nobody",
    "consent.vendor_list": "of nobody",
    "consent.suppression": "keyed hashes, which the erasure adds",
    "consent.erasure": "that it took place, of nobody",
    "consent.purpose": "of nobody",
    "consent.notice": "of nobody",
    "consent.party": "the controller's own contact and officer",
    "consent.denial": "counts of nobody",
}


def begun(session: Session, erasure_id: UUID, *, reason_ref: str, what: str = "erased") -> None:
    """Say that this transaction carries out an erasure; only then may records be deleted.

    The ledger tells of it too: that it was, and of nobody.
    """
    session.add(Erasure(id=erasure_id, reason_ref=reason_ref))
    session.flush()
    statements.append(session, "dsr", {"erasure": str(erasure_id), "what": what})


def relied_on(
    session: Session, identifiers: Collection[tuple[str, str]], *, at: datetime
) -> Sequence[sa.Row[Any]]:
    """Return the grants of identifiers that counted for a time, with when that ended.

    They are what has to be shown when somebody claims that data were used without consent (GDPR
    art. 7(1), 17(3)(e)). `body` is the record as the ledger seals it.
    """
    asked = {"namespaces": [n for n, _ in identifiers], "values": [v for _, v in identifiers]}
    return session.execute(statement("relied_on"), {**asked, "at": at}).all()


def told_of(
    session: Session, identifiers: Collection[tuple[str, str]]
) -> dict[tuple[str, str], datetime]:
    """Return those of these identifiers of which something is on record, with since when it is.

    Consent, restrictions, ages.
    """
    first = (
        (ConsentRecord, ConsentRecord.recorded_at),
        (Restriction, Restriction.created_at),
        (AgeBand, AgeBand.from_at),
    )
    found: dict[tuple[str, str], datetime] = {}
    for table, said_at in first:
        query = sa.select(table.namespace, table.value, sa.func.min(said_at))
        query = query.where(among(table, identifiers)).group_by(table.namespace, table.value)
        for namespace, value, at in session.execute(query):
            found[namespace, value] = min(at, found.get((namespace, value), at))
    return found


def told_before(
    session: Session, since: Mapping[tuple[str, str], datetime]
) -> set[tuple[str, str]]:
    """Return those of these identifiers of which something was on record before a time of each.

    An address that somebody mistypes may be that of who said this.
    """
    return {one for one, at in told_of(session, list(since)).items() if at < since[one]}


def forget(session: Session, erasure_id: UUID, identifiers: Collection[tuple[str, str]]) -> int:
    """Delete the consent records and restrictions of identifiers; return how many records.

    How many entries of the ledger are without a record then, the keys say when they are destroyed
    (`consent.ledger.gone`). What a person agreed to, and that they did, can be shown no more:
    whoever needs the proof for longer seals what `relied_on` returns first (GDPR art. 17(3)(e)).
    """
    gone = session.execute(sa.delete(ConsentRecord).where(among(ConsentRecord, identifiers)))
    session.execute(sa.delete(Restriction).where(among(Restriction, identifiers)))
    session.execute(sa.delete(LedgerStatement).where(among(LedgerStatement, identifiers)))
    session.execute(sa.delete(AgeBand).where(among(AgeBand, identifiers)))
    session.execute(sa.delete(JournalDue).where(among(JournalDue, identifiers)))
    for strings in (TcStringRow, CarriedTcString):
        session.execute(sa.delete(strings).where(among(strings, identifiers)))
    records = int(gone.rowcount)  # type: ignore[attr-defined]  # a delete's result has it
    session.execute(sa.update(Erasure).where(Erasure.id == erasure_id).values(records=records))
    return records


def done(session: Session) -> set[UUID]:
    """Return the erasures that were carried out in this database."""
    return set(session.scalars(sa.select(Erasure.id)))
