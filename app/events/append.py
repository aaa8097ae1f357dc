"""Appends events: consent first, then one set-based insert that drops what was seen before."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from app import work
from app.consents import record as consents_record
from app.events import alike, choices, collection, findings, held, signals, special, tally
from app.events.alike import Alike
from app.events.body import members_of
from app.events.envelope import Envelope, Rejection
from app.events.held import Holding
from app.events.insert import Key, Told, Way, insert
from app.events.item import ACCEPTED, DUPLICATE, SUPPRESSED, Item, Outcome
from app.events.memory import Memory
from app.suppression import mentions


def append(
    session: Session,
    items: Sequence[Item],
    memory: Memory,
    *,
    now: datetime | None = None,
    way: Way = Way.EACH,
    holding: Holding | None = None,
    released: bool = False,
    counted: bool = True,
) -> list[Outcome]:
    """Append events and return what became of each, in order.

    `now` is when consent is recorded and decided. It is when the last of them was received,
    unless it is said: an event that is replayed was received long before.

    Consent signals of the events are recorded first and decide at once: an event whose source
    collects for a purpose that the person does not allow is not written at all, only counted.
    One that names somebody who was erased is rejected before anything of it is read.
    One that is there already, in this batch or before, is a duplicate. One that its tracking plan
    refuses is rejected, for the caller to keep; what it says of consent counts. Values of special
    categories are taken out, unless the person agreed explicitly.
    Any other `way` is for who repeats the transaction on IntegrityError, as `Way` says.

    With `holding`, events of sources that wait for an answer are held until there is one. What
    they say of consent is on record from then on; `released` ones are not asked for it again.
    These, and what is not `counted` because it came before, are counted by their appender.
    """
    if not items:
        return []
    now = now or max(item.received_at for item in items)
    memory.refresh(session)
    erased = () if memory.gate.empty else _erased(items, memory)
    if erased:
        rest = iter(
            append(
                session,
                [item for n, item in enumerate(items) if n not in erased],
                memory,
                now=now,
                way=way,
                holding=holding,
                released=released,
                counted=counted,
            )
        )
        outcomes = [SUPPRESSED if n in erased else next(rest) for n in range(len(items))]
        if counted and not released:
            _count(session, [items[n] for n in erased], [SUPPRESSED] * len(erased), now, wake=False)
        return outcomes
    sent = items
    items, found = findings.put(session, sent, memory.plans)
    groups = alike.grouped(items, memory, now)
    chosen = choices.NOTHING if released else choices.record(session, items, groups, memory, now)
    collection.lift(session, groups, memory, now)
    decided = collection.denied(session, groups, memory, now)
    denied = decided.reasons
    refused = findings.refused(found, denied)
    kept = held.keep(
        session, holding, sent, decided.unanswered - findings.refused(found, ()).keys()
    )
    lost = {n: why for n, why in denied.items() if n not in kept or kept[n].state == "rejected"}
    collection.count(session, items, lost, now)
    if not released:
        signals.count(session, groups, now)
    out = denied.keys() | refused.keys()
    items = special.take(session, items, groups, out, memory, now)
    fresh = _store(session, items, groups, out, chosen, memory, way=way)
    if found:
        findings.count(session, items, found, fresh | refused.keys())
    if len(fresh) == len(items):
        outcomes = [ACCEPTED] * len(items)
    else:
        outcomes = [
            kept.get(n) or _outcome(item, n, denied, refused, fresh) for n, item in enumerate(items)
        ]
    if counted and not released:
        _count(session, items, outcomes, now, wake=bool(fresh))
    elif fresh:
        work.wake(session)
    return outcomes


def _erased(items: Sequence[Item], memory: Memory) -> list[int]:
    """Return the places of the events that name somebody who was erased."""
    gate = memory.gate
    addresses = gate.namespaces & {"email", "phone"}
    named = [{*i.envelope.identifiers, *_of_traits(i.envelope, addresses)} for i in items]
    out = {i for i in set().union(*named) if not memory.knows(i) and gate.refuses([i])}
    return [n for n, who in enumerate(named) if not out.isdisjoint(who)]


def _of_traits(envelope: Envelope, addresses: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the addresses that an event of any type tells of its person: Segment's context.traits.

    They identify nobody, and are stored with the event all the same.
    """
    context = bytes(envelope.context)
    if addresses and b'"traits"' in context:
        traits = (members_of(context) or {}).get("traits")
        if traits is not None:
            yield from mentions.named(bytes(traits).decode(), addresses)


def _store(
    session: Session,
    items: Sequence[Item],
    groups: Sequence[Alike],
    out: Collection[int],
    recorded: choices.Recorded,
    memory: Memory,
    *,
    way: Way,
) -> set[int]:
    """Write the events that are not out, and have the worker look at whose consent changed.

    Return the places of those that were not stored before.
    """
    chosen = {(row.namespace, row.value) for row in recorded.written}.union(recorded.vendors)
    staying = [g for g in groups if not out or any(n not in out for n in g.numbers)]
    named = {i for group in staying for i in group.identifiers}
    ids = memory.ids(session, named | chosen)
    told: dict[int, Told] = {}
    for group in staying:
        theirs = [ids[i] for i in group.identifiers]
        one = Told(theirs, collection.refused(group, memory.purposes))
        told.update(dict.fromkeys(group.numbers, one))
    first = _first(items, sorted(told.keys() - out) if out else range(len(items)))
    events = {key: (items[n], told[n]) for key, n in first.items()}
    seen = insert(session, events, way=way)
    consents_record.touch(session, recorded.written, ids)
    # Who refuses a vendor alone says nothing of a purpose, and must not stay with that vendor.
    work.touch(session, ((ids[who], "vendors", {}) for who in sorted(recorded.vendors)))
    return {n for key, n in first.items() if key not in seen} if seen else set(first.values())


def _first(items: Sequence[Item], numbers: Iterable[int]) -> dict[Key, int]:
    """Return the first event of each key among these, in the order of the keys."""
    sources: dict[int, dict[str, int]] = {}
    for n in numbers:
        item = items[n]
        sources.setdefault(item.source.id, {}).setdefault(item.envelope.message_id, n)
    return {
        (source, message_id): numbers[message_id]
        for source, numbers in sorted(sources.items())
        for message_id in sorted(numbers)
    }


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
        if outcome is not ACCEPTED and outcome.rejection is None
    )
    accepted = Counter(
        item.source.id for item, one in zip(items, outcomes, strict=True) if one is ACCEPTED
    )
    counts.update({(source_id, ACCEPTED.state, ""): n for source_id, n in accepted.items()})
    tally.add(session, counts, now, wake=wake)


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
