"""What is readable behind an entry, as long as its key exists."""

import base64
import json
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.errors import LedgerEntryNotFound
from consent.ledger.sealing import SubjectKey
from consent.ledger.tables import LedgerEntry, LedgerSealed


class KeyById(Protocol):
    """Where the keys of identifiers are kept."""

    def by_id(self, key_id: UUID) -> SubjectKey | None:
        """Return a key, or None where it is gone."""


def opening(session: Session, keys: KeyById, index: int) -> str | None:
    """Return the readable text of an entry with the key of its commitment, as JSON.

    It is what `check --body` compares with a proof, and it is personal data. None where nothing
    was sealed, or its key is gone. Raises LedgerEntryNotFound.
    """
    said = session.scalar(sa.select(LedgerEntry.entry).where(LedgerEntry.leaf_index == index))
    if said is None:
        raise LedgerEntryNotFound(f"entry {index}")
    row = session.get(LedgerSealed, index)
    key = keys.by_id(row.key_id) if row is not None else None
    body = key.open(row.sealed, said.encode()) if row is not None and key is not None else None
    if key is None or body is None:
        return None
    opens = base64.b64encode(key.opening(index)).decode()
    return json.dumps({"body": body.decode(), "key": opens}, ensure_ascii=False) + "\n"
