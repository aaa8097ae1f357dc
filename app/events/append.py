"""Appends events: consent first, then one set-based insert that drops what was seen before."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

import consent
from app import work
from app.consents import record as consents_record
from app.events import alike, choices, collection, findings, held, tally
from app.events.alike import Alike
from app.events.envelope import Rejection
from app.events.held import Holding
from app.events.insert import Key, Row, insert
from app.events.item import ACCEPTED, DUPLICATE, Item, Outcome
from app.events.memory import Memory


def append(
    session: Session,
    items: Sequence[Item],
    memory: Memory,
    *,
    now: datetime | None = None,
    copy: bool = False,
    holding: Holding | None = None,
    released: bool = False,
    counted: bool = True,
) -> list[Outcome]:
    """Append events and return what became of each, in order.

    `now` is when consent is recorded and decided. It is when the last of them was received,
    unless it is said: an event that is replayed was received long before.

    Consent signals of the events are recorded first and decide at once: an event whose source
    collects for a purpose that the person does not allow is not written at all, only counted.
    One that is there already, in this batch or before, is a duplicate. One that its tracking plan
    refuses is rejected, for the caller to keep; what it says of consent counts.
    `copy` is for who repeats the transaction without it on IntegrityError.

    With `holding`, events of sources that wait for an answer are held until there is one. What
    they say of consent is on record from then on; `released` ones are not asked for it again.
    These, and what is not `counted` because it came before, are counted by their appender.
    """
    if not items:
        return []
    now = now or max(item.received_at for item in items)
    memory.refresh(session)
    sent = items
    items, found = findings.put(session, sent, memory.plans)
    groups = alike.grouped(items, memory)
    written = [] if released else choices.record(session, items, groups, memory, now)
    decided = collection.denied(session, groups, memory, now)
    denied = decided.reasons
    refused = findings.refused(found, denied)
    kept = held.keep(
        session, holding, sent, decided.unanswered - findings.refused(found, ()).keys()
    )
    lost = {n: why for n, why in denied.items() if n not in kept or kept[n].state == "rejected"}
    collection.count(session, items, lost, now)
    out = denied.keys() | refused.keys()
    fresh = _store(session, items, groups, out, written, memory, copy=copy)
    if found:
        findings.count(session, items, found, fresh | refused.keys())
    outcomes = [
        kept.get(n) or _outcome(item, n, denied, refused, fresh) for n, item in enumerate(items)
    ]
    if counted and not released:
        _count(session, items, outcomes, now, wake=bool(fresh))
    elif fresh:
        work.wake(session)
    return outcomes


def _store(
    session: Session,
    items: Sequence[Item],
    groups: Sequence[Alike],
    out: Collection[int],
    written: Sequence[consent.Written],
    memory: Memory,
    *,
    copy: bool,
) -> set[int]:
    """Write the events that are not out, and have the worker look at whose consent changed.

    Return the places of those that were not stored before.
    """
    chosen = {(row.namespace, row.value) for row in written}
    staying = [g for g in groups if not out or any(n not in out for n in g.numbers)]
    named = {i for group in staying for i in group.identifiers}
    ids = memory.ids(session, named | chosen)
    rows: dict[int, Row] = {}
    for group in staying:
        theirs = [ids[i] for i in group.identifiers]
        never = collection.refused(group.stamp, memory.purposes)
        for n in group.numbers:
            if n not in out:
                rows[n] = _row(items[n], theirs, never)
    first: dict[Key, int] = {}
    for n in sorted(rows):
        first.setdefault((rows[n].source_id, rows[n].message_id), n)
    seen = insert(session, {key: rows[n] for key, n in first.items()}, copy=copy)
    consents_record.touch(session, written, ids)
    return {n for key, n in first.items() if key not in seen}


def _count(
    session: Session,
    items: Sequence[Item],
    outcomes: Sequence[Outcome],
    now: datetime,
    *,
    wake: bool,
) -> None:
    """Count what became of the events of each source; what is to be kept, its keeper counts."""
    counts = Counter(
        (item.source.id, outcome.state, outcome.code)
        for item, outcome in zip(items, outcomes, strict=True)
        if outcome.rejection is None
    )
    tally.add(session, counts, now, wake=wake)


def _row(item: Item, ids: list[int], refused: list[str]) -> Row:
    envelope = item.envelope
    return Row(
        item.source.id,
        envelope.message_id,
        envelope.type,
        envelope.name,
        ids,
        envelope.user_id,
        envelope.anonymous_id,
        envelope.occurred_at,
        item.received_at,
        envelope.sent_at,
        envelope.source_seq,
        refused,
        envelope.properties,
        envelope.context,
        envelope.rest or None,
    )


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
