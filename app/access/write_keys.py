"""Write keys: what a source sends with. It may have several, so that one can replace another."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import WriteKey
from app.db import statement
from app.errors import DefinitionInvalid, WriteKeyNotFound

#: What every key begins with.
PREFIX = "wk_"
#: How much of a key's end is kept in the clear, to tell keys apart by; 168 random bits remain.
HINT = 4
LONGEST_LABEL = 200


def hash_key(key: str) -> bytes:
    """Return what is stored of a write key or secret.

    One round of SHA-256 is enough, because the keys are 192 random bits of our own making and
    not a person's password: there is no dictionary to try.
    """
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def add(session: Session, source_id: int, *, label: str = "") -> tuple[WriteKey, str]:
    """Give a source one more key and return it with its text, which is shown only this once.

    Raises DefinitionInvalid for a label that is too long.
    """
    if len(label) > LONGEST_LABEL:
        raise DefinitionInvalid(f"#/label: {len(label)} characters; at most {LONGEST_LABEL}")
    key = PREFIX + secrets.token_urlsafe(24)
    row = WriteKey(source_id=source_id, key_hash=hash_key(key), hint=key[-HINT:], label=label)
    session.add(row)
    session.flush()
    return row, key


def list_all(session: Session, source_id: int, *, now: datetime) -> list[WriteKey]:
    """Return the keys of a source that work now, the oldest first."""
    return of_sources(session, [source_id], now=now).get(source_id, [])


def list_page(
    session: Session, source_id: int, *, now: datetime, after: int, limit: int
) -> list[WriteKey]:
    """Return the keys of a source that work now and come after an id, at most `limit`."""
    query = (
        sa.select(WriteKey)
        .where(WriteKey.source_id == source_id, WriteKey.id > after, *in_use(now))
        .order_by(WriteKey.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def of_sources(
    session: Session, source_ids: Iterable[int], *, now: datetime
) -> dict[int, list[WriteKey]]:
    """Return the keys that work now, the oldest first, by their source."""
    keys: dict[int, list[WriteKey]] = {}
    for key in session.scalars(
        sa.select(WriteKey)
        .where(WriteKey.source_id.in_(source_ids), *in_use(now))
        .order_by(WriteKey.id)
    ):
        keys.setdefault(key.source_id, []).append(key)
    return keys


def rotate(
    session: Session, source_id: int, *, keep: timedelta, now: datetime, label: str = ""
) -> tuple[WriteKey, str]:
    """Give a source a new key and let its others go on for `keep`, so that nothing is lost.

    A key that was to end earlier still does. With no time to keep, the others end now. Raises
    DefinitionInvalid for a label that is too long.
    """
    for row in list_all(session, source_id, now=now):
        row.expires_at = min(row.expires_at or now + keep, now + keep)
    return add(session, source_id, label=label)


def remove(session: Session, source_id: int, key_id: int, *, now: datetime) -> None:
    """End a key at once; raises WriteKeyNotFound when the source has none of this id in use."""
    row = session.scalar(
        sa.select(WriteKey).where(
            WriteKey.source_id == source_id, WriteKey.id == key_id, *in_use(now)
        )
    )
    if row is None:
        raise WriteKeyNotFound(str(key_id))
    row.removed_at = now
    session.flush()


def note_use(session: Session, used: Mapping[int, datetime]) -> None:
    """Remember when keys (by id) were last used; an earlier time than is known changes nothing."""
    rows = [{"id": key_id, "at": at} for key_id, at in used.items()]
    encoded = msgspec.json.encode(rows).decode()
    session.execute(statement("app.access", "note_use"), {"rows": encoded})


def in_use(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions under which a key works."""
    return (
        WriteKey.removed_at.is_(None),
        sa.or_(WriteKey.expires_at.is_(None), WriteKey.expires_at > now),
    )
