"""Loads the messages of a file the way requests are loaded, and reports what became of each."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

import consent
from app.access.sources import SourceSettings
from app.consents import record as consents_record
from app.db import Sessions
from app.errors import BodyUnreadable
from app.events import rejected, times
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, Rejection, read
from app.events.item import Item, Speaker
from app.events.memory import Memory
from app.imports.messages import Faulty

BATCH = 2_000
#: A row of a file may be larger than an event on the wire.
LARGEST_EVENT = 1_000_000


@dataclass(slots=True)
class Report:
    """What became of the rows of a file; `first` and `last` are times of who only looked."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def reject(self, code: str, message: str, row: int) -> None:
        """Count a row that was refused; the first of each kind is kept as an example."""
        self.rejected[code] += 1
        self.examples.setdefault(code, f"row {row}: {message}")


def load(
    sessions: Sessions,
    source: SourceSettings,
    messages: Iterable[Any],
    *,
    consents: Sequence[str] = (),
    evidence: str = "",
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Append the messages of a file and return the report.

    Every batch is a transaction of its own, and every message has an id that never changes: an
    import that was cut short is simply started again. `consents` are purposes to which, as whoever
    imports states in `evidence`, these people agreed; they are recorded as given when the first row
    says that something happened, and hold as long as if they were given now. Of who refused
    explicitly, before or since, the refusal stands.
    """
    report = Report()
    memory = Memory()
    number = 0
    for batch in _in_batches(messages):
        received_at = datetime.now(UTC)
        items: list[Item] = []
        refused: list[rejected.Refused] = []
        for place, message in enumerate(batch):
            number += 1
            at = received_at + timedelta(microseconds=place)
            entry = _read(message, received_at)
            if isinstance(entry, Envelope):
                items.append(Item(source, entry, at, imported=True))
            else:
                refused.append(rejected.Refused(source, at, entry))
                report.reject(entry.code, entry.message, number)
        with sessions.begin() as session:
            memory.refresh(session)
            memory.plans.refresh(session)
            _give(session, source, items, consents, evidence, received_at, memory)
            outcomes = append(session, items, memory)
            unread = [*refused, *rejected.unplanned(items, outcomes)]
            rejected.keep(session, unread, memory.gate, memory.plans.special)
        for outcome in outcomes:
            if outcome.state == "accepted":
                report.accepted += 1
            elif outcome.state == "duplicate":
                report.duplicates += 1
            else:
                report.reject(outcome.code, outcome.message, number)
        report.received = number
        if progress:
            progress(number)
    return report


def look(messages: Iterable[Any]) -> Report:
    """Return what a load would refuse for its form, and between which times it lies.

    Nothing is written and no database is asked: whether an event came in before, whom consent
    protects and what a tracking plan says is seen when it is loaded.
    """
    report = Report()
    now = datetime.now(UTC)
    for number, message in enumerate(messages, 1):
        report.received = number
        entry = _read(message, now)
        if isinstance(entry, Rejection):
            report.reject(entry.code, entry.message, number)
            continue
        report.accepted += 1
        report.first = min(entry.occurred_at, report.first or entry.occurred_at)
        report.last = max(entry.occurred_at, report.last or entry.occurred_at)
    return report


def _read(message: Any, received_at: datetime) -> Envelope | Rejection:
    """Read a message of a file; its time is as it says, for no clock is off in a file.

    When it was sent, months ago perhaps, is no measure of how far its clock is off today.
    """
    fault = message if isinstance(message, Faulty) else None
    said = fault.message if fault else message
    sent = times.read(said.get("sentAt")) if isinstance(said, dict) else None
    try:
        raw = to_message(said)
    except BodyUnreadable as error:
        return Rejection("unstorable", str(error))
    found = read(raw, received_at=sent or received_at, largest=LARGEST_EVENT)
    if fault is None or isinstance(found, Rejection):
        return found
    # Without the message: replayed it would have happened when it was received.
    where = ({"pointer": fault.pointer, "detail": fault.reason},)
    return Rejection(fault.code, fault.reason, found.message_id, details=where)


def _in_batches(messages: Iterable[Any]) -> Iterable[list[Any]]:
    batch: list[Any] = []
    for message in messages:
        batch.append(message)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _give(
    session: Session,
    source: SourceSettings,
    items: Sequence[Item],
    purposes: Sequence[str],
    evidence: str,
    now: datetime,
    memory: Memory,
) -> None:
    """Record what the importer states: these identifiers' people agreed to these purposes.

    To what the purposes were then. Nothing is recorded of who was erased.
    """
    if not purposes:
        return
    keys = [consent.catalogue.purpose(session, key).key for key in purposes]
    here = [i for i in items if not memory.gate.refuses(i.envelope.identifiers)]
    since: dict[Speaker, datetime] = {}
    for item in here:
        for speaker in item.speakers:
            since[speaker] = min(item.envelope.occurred_at, since.get(speaker, now))
    choices = [
        consent.Choice(
            *speaker,
            purpose.key,
            "given",
            at,
            collected_by=f"import:{source.name}",
            purpose_version=purpose.version,
            valid_days=purpose.valid_days and purpose.valid_days + (now - at).days,
            evidence={"stated_by_importer": evidence},
        )
        for speaker, at in sorted(since.items())
        for purpose in (memory.versions.at(key, at) for key in keys)
    ]
    written = consent.record(session, choices, received_at=now, repeat=False)
    consents_record.touch(session, written)
