"""Projects events onto profiles: the traits that identify calls set."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from app.db import statement
from app.events.alone import is_alone
from app.events.stream import Outline
from app.profiles import history, trait_rules
from app.profiles.survivorship import LONGEST_KEY
from app.profiles.traits import Order, order

#: Values pass through as the text they came in: nothing is rounded, and nothing is built of them.
_TRAITS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _order(event: Outline) -> Order:
    return order(event.occurred_at, event.received_at, event.source_seq, event.id)


def project(session: Session, events: Iterable[Outline]) -> set[int]:
    """Fold the traits of identify events into the store; return identifiers that changed.

    A value is replaced only by one of a later event, so any order of the same events ends in the
    same traits. Of traits whose rule needs every value each is counted too, and each event must
    come once.
    """
    said = list(sayings(sorted((event for event in events if event.traits), key=_order)))
    if not said:
        return set()
    latest = {
        (row["identifier_id"], row["key"], tuple(row["refused"]), row["source_id"]): row
        for row in said
    }
    rows = msgspec.json.encode([latest[at] for at in sorted(latest)]).decode()
    changed = session.execute(statement("app.profiles", "project"), {"rows": rows})
    found = {row.identifier_id for row in changed}
    keys = trait_rules.counted(session)
    return found | history.count(session, (row for row in said if row["key"] in keys))


def sayings(events: Iterable[Outline]) -> Iterator[dict[str, Any]]:
    """Yield what each event says of each trait, in the order of the events."""
    for event in events:
        if is_alone(event.refused):
            continue  # it is in nobody's profile
        refused = sorted(event.refused)
        for key, value in _TRAITS.decode(event.traits or "{}").items():
            if not key or len(key) > LONGEST_KEY or len(key.encode()) > LONGEST_KEY:
                continue
            yield {
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
