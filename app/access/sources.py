"""Sources: the websites and apps that send events, each with its write key."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import write_keys
from app.access.tables import Source, WriteKey
from app.errors import SourceExists, SourceNotFound

#: What events are collected for unless the source says otherwise: running the service that the
#: person asked for (GDPR art. 6(1)(b)). Every further use is decided for its own purpose.
DEFAULT_COLLECTION_PURPOSE = "service.operation"


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What the collection of one source's events depends on; None is the server's setting."""

    id: int
    name: str
    collection_purpose: str = DEFAULT_COLLECTION_PURPOSE
    stamp_is_evidence: bool = True
    categories: dict[str, list[str]] = field(default_factory=dict)
    #: Origins that browsers may send from; any when empty.
    allowed_origins: tuple[str, ...] = ()
    max_event_bytes: int | None = None
    max_batch_bytes: int | None = None
    max_batch_events: int | None = None
    #: None: as many as come.
    events_per_second: float | None = None
    burst: int | None = None
    #: How long events wait for the visitor's answer; 0 holds nothing.
    pending_seconds: int = 0


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
    source = Source(
        name=name,
        collection_purpose=collection_purpose,
        stamp_is_evidence=stamp_is_evidence,
        categories=categories or {},
    )
    session.add(source)
    session.flush()
    return source, write_keys.add(session, source.id)[1]


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
        sa.select(Source)
        .join(WriteKey, WriteKey.source_id == Source.id)
        .where(
            WriteKey.key_hash == write_keys.hash_key(key),
            Source.removed_at.is_(None),
            *write_keys.in_use(datetime.now(UTC)),
        )
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
        allowed_origins=tuple(source.allowed_origins),
        max_event_bytes=source.max_event_bytes,
        max_batch_bytes=source.max_batch_bytes,
        max_batch_events=source.max_batch_events,
        events_per_second=source.events_per_second,
        burst=source.burst,
        pending_seconds=source.pending_seconds,
    )


def list_all(session: Session) -> list[Source]:
    """Return the sources in use, by name."""
    return list(
        session.scalars(sa.select(Source).where(Source.removed_at.is_(None)).order_by(Source.name))
    )


def rotate_key(session: Session, name: str, *, keep: timedelta = timedelta()) -> str:
    """Give the source a new write key; the others stop working after `keep`."""
    source = find(session, name)
    return write_keys.rotate(session, source.id, keep=keep, now=datetime.now(UTC))[1]


def remove(session: Session, name: str) -> None:
    """Stop accepting events from a source; what it sent stays."""
    source = find(session, name)
    source.removed_at = sa.func.now()
    source.name = f"{source.name} (removed {source.id})"
