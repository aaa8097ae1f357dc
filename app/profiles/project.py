"""Projects events onto profiles: the traits that identify calls set."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement

#: Keys of more bytes are no traits but mistakes, and would not fit into an index row.
LONGEST_KEY = 512


def project(session: Session, events: Iterable[sa.Row[Any]]) -> set[int]:
    """Fold the traits of identify events into the store; return identifiers that changed.

    Safe to repeat: a value is replaced only by one of a later event, so any order of the same
    events, and any repetition, ends in the same traits.
    """
    latest: dict[tuple[int, str, tuple[str, ...]], dict[str, Any]] = {}
    for event in events:
        if event.type != "identify":
            continue
        for key, value in msgspec.json.decode(event.properties).items():
            if not key or len(key.encode()) > LONGEST_KEY:
                continue
            row = {
                "identifier_id": event.identifier_id,
                "key": key,
                "refused": sorted(event.refused),
                "value": value,
                "occurred_at": event.occurred_at.isoformat(),
                "received_at": event.received_at.isoformat(),
                "event_id": event.id,
                "message_id": event.message_id,
                "source_id": event.source_id,
            }
            at = (event.identifier_id, key, tuple(row["refused"]))
            best = latest.get(at)
            if best is None or _age(row) > _age(best):
                latest[at] = row
    if not latest:
        return set()
    rows = json.dumps([latest[at] for at in sorted(latest)], ensure_ascii=False)
    changed = session.execute(statement("app.profiles", "project"), {"rows": rows})
    return {row.identifier_id for row in changed}


def _age(row: dict[str, Any]) -> tuple[str, int]:
    return row["occurred_at"], row["event_id"]
