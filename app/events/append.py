"""Appends events: consent first, then one set-based insert that drops what was seen before."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from app import work
from app.consents import record as consents_record
from app.db import statement
from app.events import choices, collection, findings, tally
from app.events.envelope import Rejection
from app.events.item import ACCEPTED, DUPLICATE, Item, Outcome
from app.events.memory import Memory
from consent.signals.segment import Stamp


class Row(msgspec.Struct, frozen=True):
    """One row of `append.sql`. A Struct is made and encoded in a third of a dict's time."""

    source_id: int
    message_id: str
    type: str
    name: str | None
    identifier_ids: list[int]
    user_id: str | None
    anonymous_id: str | None
    occurred_at: datetime
    received_at: datetime
    sent_at: datetime | None
    source_seq: int | None
    refused: list[str]
    properties: dict[str, Any]
    context: dict[str, Any]
    rest: dict[str, Any] | None


def append(
    session: Session, items: Sequence[Item], memory: Memory, *, now: datetime | None = None
) -> list[Outcome]:
    """Append events and return what became of each, in order.

    `now` is when consent is recorded and decided. It is when the last of them was received,
    unless it is said: an event that is replayed was received long before.

    Consent signals of the events are recorded first and decide at once: an event whose source
    collects for a purpose that the person does not allow is not written at all, only counted.
    One that is there already, in this batch or before, is a duplicate. One that its tracking plan
    refuses is rejected, for the caller to keep; what it says of consent counts.
    """
    if not items:
        return []
    now = now or max(item.received_at for item in items)
    memory.refresh(session)
    items, found = findings.put(session, items, memory.plans)
    stamps = [choices.stamp(item, memory) for item in items]
    speakers = [item.speakers for item in items]
    written = choices.record(session, items, stamps, speakers, memory, now)
    denied = collection.denied(session, items, stamps, speakers, memory, now)
    refused = findings.refused(found, denied)
    out = denied.keys() | refused.keys()
    chosen = {(row.namespace, row.value) for row in written}
    named = {i for n, item in enumerate(items) if n not in out for i in item.envelope.identifiers}
    ids = memory.ids(session, named | chosen)
    first: dict[tuple[int, str], int] = {}
    for n, item in enumerate(items):
        if n not in out:
            first.setdefault(item.key, n)
    seen = _insert(session, [_row(items[n], ids, stamps[n], memory) for n in first.values()])
    consents_record.touch(session, written, ids)
    if len(seen) < len(first):
        work.wake(session)
    fresh = {n for key, n in first.items() if key not in seen}
    if found:
        findings.count(session, items, found, fresh | refused.keys())
    outcomes = [_outcome(item, n, denied, refused, fresh) for n, item in enumerate(items)]
    _count(session, items, outcomes, now)
    return outcomes


def _count(
    session: Session, items: Sequence[Item], outcomes: Sequence[Outcome], now: datetime
) -> None:
    """Count what became of the events of each source; what is to be kept, its keeper counts."""
    counts = Counter(
        (item.source.id, outcome.state, outcome.code)
        for item, outcome in zip(items, outcomes, strict=True)
        if outcome.rejection is None
    )
    tally.add(session, counts, now)


def _row(item: Item, ids: Mapping[tuple[str, str], int], stamp: Stamp, memory: Memory) -> Row:
    envelope = item.envelope
    return Row(
        item.source.id,
        envelope.message_id,
        envelope.type,
        envelope.name,
        [ids[i] for i in envelope.identifiers],
        envelope.user_id,
        envelope.anonymous_id,
        envelope.occurred_at,
        item.received_at,
        envelope.sent_at,
        envelope.source_seq,
        collection.refused(stamp, memory.purposes),
        envelope.properties,
        envelope.context,
        envelope.rest,
    )


def _insert(session: Session, rows: list[Row]) -> set[tuple[int, str]]:
    """Write the rows and return the keys of those that were there already."""
    if not rows:
        return set()
    encoded = msgspec.json.encode(rows).decode()
    inserted = session.execute(
        statement("app.events", "append"), {"rows": encoded, "expected": len(rows)}
    ).scalar_one()
    if inserted is None:
        return set()
    fresh = {(source_id, message_id) for source_id, message_id in inserted}
    return {key for row in rows if (key := (row.source_id, row.message_id)) not in fresh}


def _outcome(
    item: Item,
    n: int,
    denied: Mapping[int, str],
    refused: Mapping[int, Rejection],
    fresh: set[int],
) -> Outcome:
    if n in denied:
        purpose = item.source.collection_purpose
        return Outcome("rejected", "consent_denied", f"not collected for {purpose}: {denied[n]}")
    if n in refused:
        return Outcome("rejected", refused[n].code, refused[n].message, refused[n])
    return ACCEPTED if n in fresh else DUPLICATE
