"""Sources: the websites and apps that send events, their limits, keys and counters."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import Body, Header, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires
from api.deps import UNSTORED, Configuration, Cursor, Db, Limit
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app import cursors
from app.access import listing, sources, write_keys
from app.access.definition import LONGEST_NAME, SourceDefinition
from app.access.tables import Source, WriteKey
from app.errors import (
    CursorInvalid,
    DefinitionInvalid,
    SourceChanged,
    SourceExists,
    SourceNotFound,
    WriteKeyNotFound,
)
from app.events import tally
from app.pending import state
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/sources", tags=["sources"])

Admin = Annotated[Caller, requires("sources:admin")]
AUTH = (InvalidToken, InsufficientScope)
IfMatch = Annotated[
    str | None, Header(description="The ETag that was read: nothing is done if it changed since.")
]
#: How long the keys that are replaced go on unless it is said otherwise.
KEPT = timedelta(days=1)


class SourceIn(SourceDefinition):
    """A source to create."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "website",
                "collection_purpose": "analytics.audience",
                "allowed_origins": ["https://www.example.com", "https://*.example.com"],
                "max_event_bytes": 32768,
                "events_per_second": 500,
                "burst": 5000,
            }
        }
    )

    name: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description="One line, without blanks at its ends and without steps such as `..`.",
    )


class SourcePatch(SourceDefinition):
    """The settings to change; those that are left out stay."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"allowed_origins": ["https://www.example.com"], "burst": None}
        }
    )


class KeyIn(BaseModel):
    """A write key to make."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(
        default="", max_length=write_keys.LONGEST_LABEL, description="What the key is for."
    )


class KeyRotationIn(KeyIn):
    """A write key that replaces the others."""

    keep_seconds: int = Field(
        default=int(KEPT.total_seconds()),
        ge=0,
        le=366 * 86_400,
        description="How long the other keys go on; 0 ends them at once.",
    )


KeyBody = Annotated[KeyIn | None, Body(examples=[{"label": "tag manager"}])]
RotationBody = Annotated[
    KeyRotationIn | None, Body(examples=[{"label": "2027", "keep_seconds": 86_400}])
]


def key_out(key: WriteKey) -> dict[str, Any]:
    """Return what may be shown of a write key; its text is not even known."""
    return {
        "id": key.id,
        "label": key.label,
        "hint": key.hint,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


def _counts(counts: tally.Counts) -> dict[str, Any]:
    return {
        "received": counts.received,
        "accepted": counts.accepted,
        "duplicate": counts.duplicate,
        "held": counts.held,
        "rejected": dict(sorted(counts.rejected.items())),
        "released": counts.released,
        "replayed": counts.replayed,
        "destroyed": dict(sorted(counts.destroyed.items())),
    }


def source_out(
    source: Source, recent: tally.Recent, keys: list[WriteKey], held: state.HeldNow
) -> dict[str, Any]:
    """Return a source with its settings, its keys and its counters."""
    used = [key.last_used_at for key in keys if key.last_used_at]
    seen = [recent.last_seen] if recent.last_seen else []
    return {
        "id": source.id,
        "name": source.name,
        **sources.definition_of(source).model_dump(),
        "created_at": source.created_at,
        "keys": [key_out(key) for key in keys],
        "last_seen": max(used + seen, default=None),
        "held_now": {"events": held.events, "bytes": held.bytes, "oldest": held.oldest},
        "last_hour": _counts(recent.hour),
        "last_day": _counts(recent.day),
    }


def all_out(session: Session, found: list[Source]) -> list[dict[str, Any]]:
    """Return sources with their settings, keys and counters."""
    now = datetime.now(UTC)
    ids = [source.id for source in found]
    recent = tally.read_all(session, ids, now)
    keys = write_keys.of_sources(session, ids, now=now)
    held = state.by_source(session, ids)
    return [
        source_out(source, recent[source.id], keys.get(source.id, []), held[source.id])
        for source in found
    ]


def _out(session: Session, response: Response, source: Source) -> dict[str, Any]:
    response.headers["ETag"] = _etag(source)
    return all_out(session, [source])[0]


def _etag(source: Source) -> str:
    """Return the tag of a source's settings (RFC 9110 §8.8.3); counters do not change it."""
    settings = [source.id, source.name, sources.definition_of(source).model_dump()]
    return f'"{sha256(msgspec.json.encode(settings, order="sorted")).hexdigest()[:32]}"'


def _locked(session: Session, source_id: int, if_match: str | None) -> Source:
    """Return a source to change, if it is as the caller knows it (RFC 9110 §13.1.1)."""
    source = sources.find_by_id(session, source_id, lock=True)
    if if_match is not None and if_match.strip() != "*":
        if _etag(source) not in [tag.strip() for tag in if_match.split(",")]:
            raise SourceChanged(f"its ETag is {_etag(source)} now")
    return source


@router.post(
    "",
    status_code=201,
    dependencies=UNSTORED,
    summary="Create a source",
    responses=documented(*AUTH, DefinitionInvalid, SourceExists, PurposeNotFound),
)
def create_source(
    session: Db, caller: Admin, server: Configuration, response: Response, wanted: SourceIn
) -> dict[str, Any]:
    """Create a source; `write_key` is what it sends with, and is shown only this once."""
    settings = wanted.model_dump(exclude={"name"})
    sources.check(session, wanted, largest_body=server.max_body_bytes)
    source, key = sources.add(session, wanted.name, **settings)
    return {**_out(session, response, source), "write_key": key}


@router.get("", summary="List sources", responses=documented(*AUTH, CursorInvalid))
def list_sources(
    session: Db, caller: Admin, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return sources by name, with settings, keys, and the counters of the last hour and day."""
    after = cursors.decode(cursor, str)[0] if cursor else None
    found = listing.list_page(session, after=after, limit=limit + 1)
    more = cursors.encode(found[limit - 1].name) if len(found) > limit else None
    return {"data": all_out(session, found[:limit]), "next_cursor": more}


@router.get("/{source_id}", summary="Read a source", responses=documented(*AUTH, SourceNotFound))
def read_source(session: Db, caller: Admin, response: Response, source_id: int) -> dict[str, Any]:
    """Return a source with settings, keys, and the counters of the last hour and day."""
    return _out(session, response, sources.find_by_id(session, source_id))


@router.patch(
    "/{source_id}",
    summary="Change a source",
    responses=documented(*AUTH, SourceNotFound, DefinitionInvalid, PurposeNotFound, SourceChanged),
)
def change_source(
    session: Db,
    caller: Admin,
    server: Configuration,
    response: Response,
    source_id: int,
    wanted: SourcePatch,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Change the settings that are named; null is the server's setting again.

    All server processes follow within two seconds.
    """
    source = _locked(session, source_id, if_match)
    changes = wanted.model_dump(exclude_unset=True)
    sources.change(session, source, changes, largest_body=server.max_body_bytes)
    session.flush()
    return _out(session, response, source)


@router.delete(
    "/{source_id}",
    status_code=204,
    summary="Remove a source",
    responses=documented(*AUTH, SourceNotFound, SourceChanged),
)
def delete_source(session: Db, caller: Admin, source_id: int, if_match: IfMatch = None) -> None:
    """Stop accepting events from a source, within two seconds; what it sent stays."""
    sources.remove(session, _locked(session, source_id, if_match))


@router.get(
    "/{source_id}/keys",
    summary="List the write keys of a source",
    responses=documented(*AUTH, SourceNotFound, CursorInvalid),
)
def list_keys(
    session: Db, caller: Admin, source_id: int, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """Return the keys that work; `hint` is the end of a key, `last_used_at` true to a minute."""
    source = sources.find_by_id(session, source_id)
    after = cursors.decode(cursor, int)[0] if cursor else 0
    now = datetime.now(UTC)
    keys = write_keys.list_page(session, source.id, now=now, after=after, limit=limit + 1)
    more = cursors.encode(keys[limit - 1].id) if len(keys) > limit else None
    return {"data": [key_out(key) for key in keys[:limit]], "next_cursor": more}


@router.post(
    "/{source_id}/keys",
    status_code=201,
    dependencies=UNSTORED,
    summary="Add a write key",
    responses=documented(*AUTH, SourceNotFound),
)
def add_key(session: Db, caller: Admin, source_id: int, wanted: KeyBody = None) -> dict[str, Any]:
    """Give a source one more key; `write_key` is shown only this once."""
    source = sources.find_by_id(session, source_id)
    key, text = write_keys.add(session, source.id, label=(wanted or KeyIn()).label)
    return {**key_out(key), "write_key": text}


@router.post(
    "/{source_id}/keys/rotate",
    status_code=201,
    dependencies=UNSTORED,
    summary="Replace the write keys",
    responses=documented(*AUTH, SourceNotFound),
)
def rotate_keys(
    session: Db, caller: Admin, source_id: int, wanted: RotationBody = None
) -> dict[str, Any]:
    """Give a source a new key and let its others go on for `keep_seconds`, so nothing is lost."""
    wanted = wanted or KeyRotationIn()
    source = sources.find_by_id(session, source_id, lock=True)
    key, text = write_keys.rotate(
        session,
        source.id,
        keep=timedelta(seconds=wanted.keep_seconds),
        now=datetime.now(UTC),
        label=wanted.label,
    )
    return {**key_out(key), "write_key": text}


@router.delete(
    "/{source_id}/keys/{key_id}",
    status_code=204,
    summary="Remove a write key",
    responses=documented(*AUTH, SourceNotFound, WriteKeyNotFound),
)
def delete_key(session: Db, caller: Admin, source_id: int, key_id: int) -> None:
    """End a key; requests with it are refused within two seconds."""
    source = sources.find_by_id(session, source_id)
    write_keys.remove(session, source.id, key_id, now=datetime.now(UTC))
