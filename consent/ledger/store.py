"""Reads the ledger: entries, checkpoints, and proofs at the price of a few hundred rows each."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.errors import (
    CheckpointNotFound,
    LedgerEntryNotFound,
    LedgerEntryNotSealed,
)
from consent.ledger.check import Proof
from consent.ledger.tables import (
    LedgerCheckpoint,
    LedgerEntry,
    LedgerKey,
    LedgerNode,
    LedgerStatement,
)
from consent.ledger.tree import Tree
from consent.tables import ConsentRecord


@dataclass(frozen=True, slots=True)
class Head:
    """Where the ledger ends: entries, and the record (transaction, seq) it has come to."""

    size: int
    root: bytes
    note: str
    mark: tuple[str, int]
    created_at: datetime | None


@cache
def statement(name: str) -> sa.TextClause:
    """Return the statement of `sql/<name>.sql`."""
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def head(session: Session) -> Head:
    """Return the newest checkpoint, or what stands for it before there is one."""
    row = session.execute(
        sa.select(
            LedgerCheckpoint.size,
            LedgerCheckpoint.root,
            LedgerCheckpoint.note,
            sa.cast(LedgerCheckpoint.transaction, sa.Text).label("transaction"),
            LedgerCheckpoint.record_seq,
            LedgerCheckpoint.created_at,
        )
        .order_by(LedgerCheckpoint.size.desc())
        .limit(1)
    ).first()
    if row is None:
        return Head(0, Tree(0, lambda *_: ()).root(), "", ("0", 0), None)
    return Head(row.size, row.root, row.note, (row.transaction, row.record_seq), row.created_at)


def waiting_since(session: Session) -> datetime | None:
    """Return when the next record to be sealed was recorded; None where none waits."""
    transaction, seq = head(session).mark
    found: datetime | None = session.scalar(
        statement("ledger_waiting"), {"transaction": transaction, "seq": seq}
    )
    return found


def tree(session: Session, size: int) -> Tree:
    """Return the tree of the first so many entries, read as far as it is asked for."""

    def fetch(level: int, first: int, count: int) -> Sequence[bytes]:
        past = first + count
        if level == 0:
            place, query = LedgerEntry.leaf_index, sa.select(LedgerEntry.leaf_hash)
        else:
            place, query = LedgerNode.node_index, sa.select(LedgerNode.hash)
            query = query.where(LedgerNode.level == level)
        found = session.scalars(query.where(place >= first, place < past).order_by(place)).all()
        if len(found) != count:
            raise LedgerEntryNotFound(f"hashes of level {level} from {first} on are missing")
        return found

    return Tree(size, fetch)


def index_of(session: Session, about: UUID) -> int:
    """Return where the entry stands that is about a record, a statement or a destroyed key.

    Raises LedgerEntryNotSealed while it waits for the sealer, and LedgerEntryNotFound.
    """
    found = session.scalar(sa.select(LedgerEntry.leaf_index).where(LedgerEntry.about == about))
    if found is not None:
        return found
    waits = sa.or_(
        sa.exists().where(ConsentRecord.id == about),
        sa.exists().where(LedgerStatement.about == about),
    )
    if session.scalar(sa.select(waits)):
        raise LedgerEntryNotSealed(f"{about} will be sealed soon")
    raise LedgerEntryNotFound(str(about))


def said_about(session: Session, abouts: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return what the entries about these say, of those that have one."""
    query = sa.select(LedgerEntry.about, LedgerEntry.entry).where(LedgerEntry.about.in_(abouts))
    return {row.about: json.loads(row.entry) for row in session.execute(query)}


def waiting(session: Session, abouts: Collection[UUID]) -> set[UUID]:
    """Return about which of these a statement waits for the sealer."""
    query = sa.select(LedgerStatement.about).where(LedgerStatement.about.in_(abouts))
    return set(session.scalars(query))


def prove(session: Session, index: int, *, size: int | None = None) -> Proof:
    """Return the proof that an entry is in the ledger, against a checkpoint or the newest one.

    Raises LedgerEntryNotFound, and CheckpointNotFound for a size that was never signed.
    """
    last = head(session)
    note = last.note if size is None else checkpoint(session, size).note
    size = last.size if size is None else size
    said = session.scalar(sa.select(LedgerEntry.entry).where(LedgerEntry.leaf_index == index))
    if said is None or index >= size:
        raise LedgerEntryNotFound(f"entry {index} of {size}")
    path = tree(session, last.size).inclusion_proof(index, size)
    return Proof(said.encode(), index, tuple(path), note)


def consistency(session: Session, old: int, new: int) -> list[bytes]:
    """Return the proof that the ledger of one size begins with that of a smaller one.

    Raises CheckpointNotFound unless 0 < old <= new and the ledger is as large as that.
    """
    last = head(session)
    if not 0 < old <= new <= last.size:
        raise CheckpointNotFound(f"{old} and {new} of {last.size} entries")
    return tree(session, last.size).consistency_proof(old, new)


def checkpoint(session: Session, size: int) -> LedgerCheckpoint:
    """Return the checkpoint of exactly so many entries; raises CheckpointNotFound."""
    found = session.get(LedgerCheckpoint, size)
    if found is None:
        raise CheckpointNotFound(f"{size} entries")
    return found


def checkpoints(
    session: Session, *, limit: int, before: int | None = None
) -> list[LedgerCheckpoint]:
    """Return checkpoints, the newest first, those with fewer entries than `before`."""
    query = sa.select(LedgerCheckpoint).order_by(LedgerCheckpoint.size.desc()).limit(limit)
    if before is not None:
        query = query.where(LedgerCheckpoint.size < before)
    return list(session.scalars(query))


def checkpoints_after(session: Session, size: int, *, limit: int) -> list[LedgerCheckpoint]:
    """Return checkpoints of more entries than that, the oldest first."""
    query = sa.select(LedgerCheckpoint).where(LedgerCheckpoint.size > size)
    return list(session.scalars(query.order_by(LedgerCheckpoint.size).limit(limit)))


def entries(session: Session, *, start: int, limit: int) -> list[LedgerEntry]:
    """Return entries in the order of the ledger."""
    query = sa.select(LedgerEntry).where(LedgerEntry.leaf_index >= start)
    return list(session.scalars(query.order_by(LedgerEntry.leaf_index).limit(limit)))


def said(row: LedgerEntry) -> Any:
    """Return what an entry says."""
    return json.loads(row.entry)


def keys(session: Session) -> list[LedgerKey]:
    """Return the public keys that have signed, and since when, the oldest first."""
    query = sa.select(LedgerKey).order_by(LedgerKey.created_at, LedgerKey.vkey)
    return list(session.scalars(query))


def catalogue(session: Session) -> Sequence[sa.Row[Any]]:
    """Return every version of every purpose and notice, as the ledger holds it."""
    return session.execute(statement("ledger_catalogue")).all()


def vkeys(session: Session) -> list[str]:
    """Return the public keys that have signed, the oldest first."""
    return [key.vkey for key in keys(session)]
