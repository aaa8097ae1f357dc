"""Sources: the websites and apps that send events, each with its write key."""

import hashlib
import secrets
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import Source
from app.errors import SourceExists, SourceNotFound

#: What events are collected for unless the source says otherwise: running the service that the
#: person asked for (GDPR art. 6(1)(b)). Every further use is decided for its own purpose.
DEFAULT_COLLECTION_PURPOSE = "service.operation"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What the collection of one source's events depends on."""

    id: int
    name: str
    collection_purpose: str = DEFAULT_COLLECTION_PURPOSE
    stamp_is_evidence: bool = True
    categories: dict[str, list[str]] = field(default_factory=dict)


def hash_key(key: str) -> bytes:
    """Return what is stored of a write key or secret.

    One round of SHA-256 is enough, because the keys are 192 random bits of our own making and
    not a person's password: there is no dictionary to try.
    """
    return hashlib.sha256(key.encode()).digest()


def add(
    session: Session,
    name: str,
    *,
    collection_purpose: str = DEFAULT_COLLECTION_PURPOSE,
    stamp_is_evidence: bool = True,
    categories: dict[str, list[str]] | None = None,
) -> tuple[Source, str]:
    """Register a source and return it with its write key, which is shown only this once.

    Raises SourceExists when a source of this name exists.
    """
    if session.scalar(sa.select(Source).where(Source.name == name)):
        raise SourceExists(name)
    key = "wk_" + secrets.token_urlsafe(24)
    source = Source(
        name=name,
        write_key_hash=hash_key(key),
        collection_purpose=collection_purpose,
        stamp_is_evidence=stamp_is_evidence,
        categories=categories or {},
    )
    session.add(source)
    session.flush()
    return source, key


def find(session: Session, name: str) -> Source:
    """Return the source of this name; raises SourceNotFound."""
    source = session.scalar(
        sa.select(Source).where(Source.name == name, Source.removed_at.is_(None))
    )
    if source is None:
        raise SourceNotFound(name)
    return source


def find_by_key(session: Session, key: str) -> SourceSettings | None:
    """Return the source a write key belongs to, or None."""
    source = session.scalar(
        sa.select(Source).where(Source.write_key_hash == hash_key(key), Source.removed_at.is_(None))
    )
    return settings_of(source) if source else None


def settings_of(source: Source) -> SourceSettings:
    """Return the part of a source that collection depends on."""
    return SourceSettings(
        id=source.id,
        name=source.name,
        collection_purpose=source.collection_purpose,
        stamp_is_evidence=source.stamp_is_evidence,
        categories=dict(source.categories),
    )


def list_all(session: Session) -> list[Source]:
    """Return the sources in use, by name."""
    return list(
        session.scalars(sa.select(Source).where(Source.removed_at.is_(None)).order_by(Source.name))
    )


def rotate_key(session: Session, name: str) -> str:
    """Give the source a new write key; the old one stops working at once."""
    source = find(session, name)
    key = "wk_" + secrets.token_urlsafe(24)
    source.write_key_hash = hash_key(key)
    return key


def remove(session: Session, name: str) -> None:
    """Stop accepting events from a source; what it sent stays."""
    source = find(session, name)
    source.removed_at = sa.func.now()
    source.name = f"{source.name} (removed {source.id})"
