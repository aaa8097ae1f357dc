"""Projects events onto profiles: the traits that identify calls set."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from app.db import statement
from app.events.stream import Outline
from app.profiles.traits import Order, order

#: Keys of more bytes are no traits but mistakes, and would not fit into an index row.
LONGEST_KEY = 512
#: Values pass through as the text they came in: nothing is rounded, and nothing is built of them.
_TRAITS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _order(event: Outline) -> Order:
    return order(event.occurred_at, event.received_at, event.source_seq, event.id)


def project(session: Session, events: Iterable[Outline]) -> set[int]:
    """Fold the traits of identify events into the store; return identifiers that changed.

    Safe to repeat: a value is replaced only by one of a later event, so any order of the same
    events, and any repetition, ends in the same traits.
    """
    latest: dict[tuple[int, str, tuple[str, ...], int], dict[str, Any]] = {}
    telling = [event for event in events if event.traits]
    for event in sorted(telling, key=_order):
        refused = sorted(event.refused)
        for key, value in _TRAITS.decode(event.traits or "{}").items():
            if not key or len(key) > LONGEST_KEY or len(key.encode()) > LONGEST_KEY:
                continue
            latest[event.identifier_ids[0], key, tuple(refused), event.source_id] = {
                "identifier_id": event.identifier_ids[0],
                "key": key,
                "refused": refused,
                "value": value,
                "occurred_at": event.occurred_at,
                "received_at": event.received_at,
                "source_seq": event.source_seq,
                "event_id": event.id,
                "message_id": event.message_id,
                "source_id": event.source_id,
            }
    if not latest:
        return set()
    rows = msgspec.json.encode([latest[at] for at in sorted(latest)]).decode()
    changed = session.execute(statement("app.profiles", "project"), {"rows": rows})
    return {row.identifier_id for row in changed}
