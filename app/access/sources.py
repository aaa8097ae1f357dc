"""Sources: the websites and apps that send events, each with its write keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import consent
from app.access import write_keys
from app.access.definition import DEFAULT_COLLECTION_PURPOSE, SourceDefinition, check_name, read
from app.access.tables import Source, WriteKey
from app.errors import SourceExists, SourceNotFound
from consent.signals.stamp import Rules


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
    #: How its consent signals are read.
    signals: Rules = field(default_factory=Rules)
    #: Its write key stands in no page, and who sends with it knows whom they speak of.
    server_side: bool = False
    added_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """A write key in use and the source that sends with it."""

    source: SourceSettings
    key_id: int
    key_hash: bytes
    expires_at: datetime | None


def add(session: Session, name: str, **settings: Any) -> tuple[Source, str]:
    """Register a source and return it with its first write key, which is shown only this once.

    The settings are those of SourceDefinition. Raises DefinitionInvalid, for the name too, and
    SourceExists when a source of this name exists, or comes into being at the same moment.
    """
    check_name(name)
    values = {"name": name, **read(settings).model_dump()}
    added = insert(Source).values(values)
    added = added.on_conflict_do_nothing(
        index_elements=["name"], index_where=Source.removed_at.is_(None)
    )
    source = session.scalar(added.returning(Source))
    if source is None:  # also when somebody else was faster at the same moment
        raise SourceExists(name)
    return source, write_keys.add(session, source.id)[1]


def change(
    session: Session, source: Source, settings: Mapping[str, Any], *, largest_body: int
) -> None:
    """Change some settings of a source; the others stay.

    Server processes take it over within two seconds. Raises DefinitionInvalid, PurposeNotFound.
    """
    changed = read({**definition_of(source).model_dump(), **settings})
    check(session, changed, largest_body=largest_body)
    for name, value in changed.model_dump().items():
        setattr(source, name, value)


def check(session: Session, definition: SourceDefinition, *, largest_body: int) -> None:
    """Check a definition against the catalogue and the server's own limits.

    Raises PurposeNotFound, DefinitionInvalid.
    """
    for purpose in sorted(definition.purposes):
        consent.catalogue.purpose(session, purpose)
    definition.within(largest_body)


def definition_of(source: Source) -> SourceDefinition:
    """Return the settings of a source."""
    return SourceDefinition.model_construct(
        **{name: getattr(source, name) for name in SourceDefinition.model_fields}
    )


def find(session: Session, name: str) -> Source:
    """Return the source of this name; raises SourceNotFound."""
    source = session.scalar(
        sa.select(Source).where(Source.name == name, Source.removed_at.is_(None))
    )
    if source is None:
        raise SourceNotFound(name)
    return source


def find_by_id(session: Session, source_id: int, *, lock: bool = False) -> Source:
    """Return the source of this id, locked for a change if need be; raises SourceNotFound."""
    query = sa.select(Source).where(Source.id == source_id, Source.removed_at.is_(None))
    source = session.scalar(query.with_for_update() if lock else query)
    if source is None:
        raise SourceNotFound(str(source_id))
    return source


def find_by_key(session: Session, key: str) -> SourceSettings | None:
    """Return the source a write key belongs to, or None."""
    sender = find_by_hashes(session, [write_keys.hash_key(key)])
    return sender[0].source if sender else None


def find_by_hashes(session: Session, hashes: Sequence[bytes]) -> list[Sender]:
    """Return the keys in use among these hashes, each with its source."""
    rows = session.execute(
        sa.select(WriteKey, Source)
        .join(Source, WriteKey.source_id == Source.id)
        .where(
            WriteKey.key_hash.in_(hashes),
            Source.removed_at.is_(None),
            *write_keys.in_use(datetime.now(UTC)),
        )
    )
    return [
        Sender(settings_of(source), key.id, key.key_hash, key.expires_at) for key, source in rows
    ]


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
        signals=Rules(
            collectors=frozenset(source.tcf_collectors),
            policy_floor=source.tcf_policy_floor,
            own_purposes="core" if source.tcf_own_purposes == "core" else "publisher",
            snapshot=source.preference_snapshot,
        ),
        server_side=source.server_side,
        added_at=source.created_at,
    )


def list_all(session: Session) -> list[Source]:
    """Return the sources in use, by name."""
    return list(
        session.scalars(sa.select(Source).where(Source.removed_at.is_(None)).order_by(Source.name))
    )


def remove(session: Session, source: Source) -> None:
    """Stop accepting events from a source; what it sent stays, under its name.

    Rules of traits and touchpoints that name it go on to mean what it sent.
    """
    source.removed_at = datetime.now(UTC)
    session.flush()
