"""What goes with a key: how many entries it had sealed, counted while it can still be asked."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.errors import LedgerEntryNotFound
from consent.ledger.check import MALFORMED, leaf_hash, root_of_path
from consent.ledger.gone import DESTROYED, RECORDS, kind
from consent.ledger.sealing import SubjectKey
from consent.ledger.store import head, statement, tree
from consent.ledger.tables import SAYS_DESTROYED, LedgerEntry, LedgerSealed

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
    """Return the keys of which entries say that they are destroyed; whose entries they are is open.

    By the index of those entries.
    """
    return list(session.scalars(sa.select(LedgerEntry.about).where(SAYS_DESTROYED)))


def proved(session: Session, keys: Collection[UUID]) -> set[UUID]:
    """Return which of these keys the tree of the newest checkpoint says to be destroyed.

    Whoever has the database alone can write an entry, and what it is about beside it; so the key is
    taken from the hashed text, and the text's hash is followed to the root. What a key sealed goes
    in the transaction that enters its end: of a destroyed key nothing is there. The caller has
    looked who signed that checkpoint.
    """
    last = head(session)
    grown = tree(session, last.size)
    query = sa.select(LedgerEntry).where(
        LedgerEntry.about.in_(keys),
        LedgerEntry.leaf_index < last.size,
        ~sa.exists().where(LedgerSealed.key_id == LedgerEntry.about),
    )
    found = set()
    for row in session.scalars(query):
        with suppress(LedgerEntryNotFound, *MALFORMED):
            said = json.loads(row.entry)
            ends = said["type"] == "key_event" and said["event"] == DESTROYED
            path = grown.inclusion_proof(row.leaf_index, last.size)
            leaf = leaf_hash(row.entry.encode())
            root = root_of_path(leaf, row.leaf_index, last.size, path)
            if ends and said["key"] == row.about.hex and root == last.root:
                found.add(row.about)
    return found
