"""What goes with a key: how many entries it had sealed, counted while it can still be asked."""

import json
from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.ledger.gone import DESTROYED, RECORDS, kind
from consent.ledger.sealing import SubjectKey
from consent.ledger.store import statement
from consent.ledger.tables import LedgerEntry, LedgerSealed

#: How many entries of each kind; None for a key that an earlier version destroyed uncounted.
Counts = Mapping[str, int]


def named_by(session: Session, key_id: UUID, key: SubjectKey) -> Counter[str]:
    """Return how many entries are sealed under a key and name it, by kind.

    Whoever moves somebody else's sealed text to a key that is about to be destroyed, so that it
    goes with it, cannot write a reference of that key into the entry.
    """
    query = (
        sa.select(LedgerEntry.leaf_index, LedgerEntry.entry)
        .join(LedgerSealed, LedgerSealed.leaf_index == LedgerEntry.leaf_index)
        .where(LedgerSealed.key_id == key_id)
    )
    found: Counter[str] = Counter()
    for index, text in session.execute(query):
        said = json.loads(text)
        counted = kind(said)
        if counted is not None and said.get("subject") == key.reference(index):
            found[counted] += 1
    return found


def going(session: Session, destroyed: Mapping[UUID, Counts | None]) -> dict[UUID, Counter[str]]:
    """Return how many entries lose what was sealed of them now that these keys are destroyed.

    Never more than named the key when it was, nor more than are there: a restored database may
    have fewer.
    """
    asked = {"keys": list(destroyed), "records": list(RECORDS)}
    here: dict[UUID, Counter[str]] = {key: Counter() for key in destroyed}
    for row in session.execute(statement("ledger_going"), asked):
        named = destroyed[row.key_id]
        most = row.entries if named is None else min(row.entries, named.get(row.kind, 0))
        here[row.key_id][row.kind] = most
    return here


def gone_before(session: Session) -> Counter[str]:
    """Return how many entries of each kind have nothing sealed (any more)."""
    rows = session.execute(statement("ledger_gone"), {"records": list(RECORDS)})
    return Counter({row.kind: row.entries for row in rows})


def told(session: Session) -> list[UUID]:
    """Return the keys of which the ledger says that they are destroyed; reads every entry."""
    event = LedgerEntry.entry.contains(f'"event":"{DESTROYED}"', autoescape=True)
    return list(session.scalars(sa.select(LedgerEntry.about).where(event)))
