"""Holds events that nobody has answered for yet, and destroys them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

from app.db import statement
from app.pending.seal import Keyring, Label
from app.pending.tables import Held, HeldRoom


@dataclass(frozen=True, slots=True)
class Waiting:
    """One event to hold: what it is known by, and its content as bytes."""

    source_id: int
    message_id: str
    identifiers: Collection[tuple[str, str]]
    received_at: datetime
    seconds: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be held of one source."""

    events: int
    bytes: int


def hold(session: Session, keyring: Keyring, room: Room, events: Sequence[Waiting]) -> list[str]:
    """Keep events sealed, and return of each: held, duplicate, or full (there is no room).

    One statement for all of them. Writers at the same time may exceed the room by what each is
    writing.
    """
    if not events:
        return []
    rows = {}
    first: dict[tuple[int, str], int] = {}
    for place, event in enumerate(events):
        if first.setdefault((event.source_id, event.message_id), place) == place:
            rows[place] = _row(keyring, place, event)
    found = session.execute(
        statement("app.pending", "hold"),
        {
            "rows": msgspec.json.encode(list(rows.values())).decode(),
            "most_events": room.events,
            "most_bytes": room.bytes,
        },
    )
    states = {row.place: row.state for row in found}
    return [states.get(place, "duplicate") for place in range(len(events))]


def _row(keyring: Keyring, place: int, event: Waiting) -> dict[str, Any]:
    key, *earlier = keyring.keys
    label = Label(
        event.source_id,
        key.message(event.message_id),
        event.received_at,
        event.received_at + timedelta(seconds=event.seconds),
    )
    return {
        "place": place,
        "source_id": label.source_id,
        "message": _hex(label.message),
        "earlier": [_hex(k.message(event.message_id)) for k in earlier],
        "subjects": [_hex(key.subject(*identifier)) for identifier in event.identifiers],
        "received_at": label.received_at.isoformat(),
        "expires_at": label.expires_at.isoformat(),
        "key_id": _hex(key.id),
        "sealed": _hex(key.seal(event.content, label)),
    }


def _hex(value: bytes) -> str:
    """Return bytes as PostgreSQL reads them."""
    return "\\x" + value.hex()


def destroy(session: Session, keyring: Keyring, namespace: str, value: str) -> int:
    """Destroy all held events that name an identifier, and return how many; for an erasure.

    Of an event held under a key that is no longer here nothing is found: it goes with its time.
    """
    subjects = sa.cast(keyring.subjects(namespace, value), ARRAY(BYTEA))
    ids = session.scalars(sa.select(Held.id).where(Held.subjects.overlap(subjects))).all()
    return len(remove(session, ids))


def remove(session: Session, ids: Collection[int]) -> list[sa.Row[Any]]:
    """Delete held events and return (id, source_id) of those that were there."""
    if not ids:
        return []
    gone = session.execute(statement("app.pending", "remove"), {"ids": sorted(ids)})
    return list(gone)


def expire(session: Session, *, limit: int) -> list[sa.Row[Any]]:
    """Delete up to `limit` events whose time has passed; return (id, source_id) of each."""
    over = sa.select(Held.id).where(Held.expires_at <= sa.func.clock_timestamp()).limit(limit)
    return remove(session, session.scalars(over.with_for_update(skip_locked=True)).all())


def count_anew(session: Session, *, above: int) -> None:
    """Fold the changes of what is held into one row per source, when there are many of them."""
    changes = session.scalar(
        sa.select(sa.func.count()).select_from(sa.select(HeldRoom.id).limit(above + 1).subquery())
    )
    if (changes or 0) > above:
        session.execute(statement("app.pending", "count_anew"))
