"""What is readable behind an entry, as long as its key exists."""

import base64
import json
from collections.abc import Collection
from typing import Any, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.errors import LedgerEntryNotFound
from consent.ledger.scan import KeysById
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


def openings_of(
    session: Session, keys: KeysById, about: Collection[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Return the openings of the entries about these records, with their places, by record.

    A record that waits to be sealed, or whose key is gone, is not in it.
    """
    query = (
        sa.select(LedgerEntry, LedgerSealed)
        .join(LedgerSealed, LedgerSealed.leaf_index == LedgerEntry.leaf_index)
        .where(LedgerEntry.about.in_(about))
    )
    rows = session.execute(query).all()
    known = keys({sealed.key_id for _, sealed in rows})
    found = {}
    for said, sealed in rows:
        key = known.get(sealed.key_id)
        body = key.open(sealed.sealed, said.entry.encode()) if key is not None else None
        if key is not None and body is not None:
            found[said.about] = {
                "index": said.leaf_index,
                "body": body.decode(),
                "key": base64.b64encode(key.opening(said.leaf_index)).decode(),
            }
    return found
