"""Appends events: consent first, then one set-based insert that drops what was seen before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import work
from app.access.sources import SourceSettings
from app.consents import record as consents_record
from app.db import statement
from app.events.envelope import Envelope, Rejection
from app.events.tables import RejectedEvent
from consent.resolve import UNCONDITIONAL
from consent.signals.segment import PREFERENCE_EVENT, Stamp
from identity import graph

#: Identifiers that an address book also holds: a choice made on a device is not theirs.
ADDRESSES = frozenset({"email", "phone", "device_id"})


@dataclass(frozen=True, slots=True)
class Item:
    """One event of one source, on its way in."""

    source: SourceSettings
    envelope: Envelope
    received_at: datetime

    @property
    def key(self) -> tuple[int, str]:
        """What makes it the same event when it comes again."""
        return self.source.id, self.envelope.message_id

    @property
    def speakers(self) -> tuple[tuple[str, str], ...]:
        """The identifiers on whose behalf the event's consent speaks."""
        return tuple(i for i in self.envelope.identifiers if i[0] not in ADDRESSES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event: accepted, duplicate or rejected (with code and reason)."""

    state: str
    code: str = ""
    message: str = ""


class IdCache:
    """Ids of identifiers that are known already; they never change, so it is never stale."""

    def __init__(self, largest: int = 200_000) -> None:
        """Keep at most `largest` ids; when full, it starts anew."""
        self._largest = largest
        self._ids: dict[tuple[str, str], int] = {}

    def ids(
        self, session: Session, wanted: Iterable[tuple[str, str]]
    ) -> dict[tuple[str, str], int]:
        """Return the ids of these identifiers, made where new. Call `keep` once committed."""
        needed = set(wanted)
        found = {i: self._ids[i] for i in needed if i in self._ids}
        return found | graph.identify(session, needed - found.keys())

    def keep(self, ids: Mapping[tuple[str, str], int]) -> None:
        """Remember ids after their transaction has been committed."""
        if len(self._ids) + len(ids) > self._largest:
            self._ids.clear()
        self._ids.update(ids)


def append(session: Session, items: Sequence[Item], cache: IdCache) -> list[Outcome]:
    """Append events and return what became of each, in order.

    Consent signals of the events are recorded first and decide at once: an event whose source
    collects for a purpose that the person does not allow is not written at all, only counted.
    One that is there already, in this batch or before, is a duplicate.
    """
    purposes = consent.catalogue.purposes(session)
    stamps = [_stamp(item, purposes) for item in items]
    written = _record_choices(session, items, stamps, purposes)
    denied = _denied(session, items, stamps, purposes)
    seen: set[tuple[int, str]] = set()
    rows, first = [], []
    ids = cache.ids(
        session,
        {i for n, item in enumerate(items) if n not in denied for i in item.envelope.identifiers},
    )
    for n, item in enumerate(items):
        if n not in denied and item.key not in seen:
            seen.add(item.key)
            first.append(n)
            rows.append(_row(item, ids, _refused(stamps[n], purposes)))
    fresh = _insert(session, rows)
    consents_record.touch(session, written)
    if fresh:
        work.wake(session)
    cache_after_commit(session, cache, ids)
    return _outcomes(items, denied, {n for n in first if items[n].key in fresh})


def cache_after_commit(
    session: Session, cache: IdCache, ids: Mapping[tuple[str, str], int]
) -> None:
    """Remember the ids once they are committed; a rolled-back id must never be used."""
    sa.event.listen(session, "after_commit", lambda _: cache.keep(ids), once=True)


def keep_rejections(
    session: Session, source: SourceSettings, rejections: Iterable[Rejection], received_at: datetime
) -> None:
    """Keep what was not accepted, with the reason, so that it can be looked into.

    Only for sources that collect on a basis other than consent: an event that cannot be read
    cannot show that its person agreed to be kept, so there the text is left out.
    """
    rows = [
        {
            "source_id": source.id,
            "received_at": received_at,
            "code": rejection.code,
            "message": rejection.message,
            "payload": rejection.payload,
        }
        for rejection in rejections
    ]
    if not rows:
        return
    purpose = consent.catalogue.purposes(session).get(source.collection_purpose)
    if purpose is None or purpose.lawful_basis not in UNCONDITIONAL:
        rows = [{**row, "payload": None} for row in rows]
    session.execute(sa.insert(RejectedEvent), rows)


def _stamp(item: Item, purposes: Mapping[str, consent.Purpose]) -> Stamp:
    return consent.segment.read(
        item.envelope.context,
        known=purposes.keys(),
        categories=item.source.categories,
        snapshot=item.envelope.name == PREFERENCE_EVENT,
    )


def _record_choices(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    purposes: Mapping[str, consent.Purpose],
) -> list[consent.Written]:
    """Record what the events' stamps say, for each identifier that speaks in them."""
    choices = []
    told = [(item, stamp) for item, stamp in zip(items, stamps, strict=True)
            if item.source.stamp_is_evidence or stamp.whole]  # fmt: skip
    speakers = {s for item, stamp in told if stamp.whole for s in item.speakers}
    given = _given(session, speakers)
    said: dict[tuple[tuple[str, str], str], tuple[str, bool]] = {}
    # In the order of their times, so that a banner's answer also withdraws what an event of the
    # same batch gave.
    for item, stamp in sorted(told, key=lambda t: t[0].envelope.occurred_at):
        for speaker in item.speakers:
            before = given.setdefault(speaker, set())
            silent = before - stamp.given if stamp.whole else set()
            states = dict.fromkeys(stamp.refused | silent, "refused")
            states |= dict.fromkeys(stamp.given, "given")
            given[speaker] = (before | stamp.given) - stamp.refused - silent
            for key, state in states.items():
                # A browser stamps every event: only what differs from the one before is kept,
                # or building the choices costs two thirds of the time of a batch.
                if said.get((speaker, key)) != (state, stamp.whole):
                    said[speaker, key] = state, stamp.whole
                    choices.append(_choice(item, speaker, purposes[key], state, stamp))
    received_at = max((item.received_at for item in items), default=datetime.max)
    return consent.record(session, choices, received_at=received_at, repeat=False)


def _choice(
    item: Item, speaker: tuple[str, str], purpose: consent.Purpose, state: str, stamp: Stamp
) -> consent.Choice:
    return consent.Choice(
        *speaker,
        purpose.key,
        state,
        item.envelope.occurred_at,
        collected_by=f"source:{item.source.name}",
        purpose_version=purpose.version,
        valid_days=purpose.valid_days,
        evidence={
            "signal": "segment",
            "message_id": item.envelope.message_id,
            **({} if stamp.whole else {"event_stamp": True}),
        },
    )


def _given(session: Session, speakers: set[tuple[str, str]]) -> dict[tuple[str, str], set[str]]:
    """Return the purposes that each of these identifiers has given until now."""
    given: dict[tuple[str, str], set[str]] = {}
    now = datetime.now().astimezone()
    standings = consent.standings(consent.history(session, sorted(speakers)), at=now, known_at=now)
    for (namespace, value, purpose), (standing, _) in standings.items():
        if standing == "given":
            given.setdefault((namespace, value), set()).add(purpose)
    return given


def _denied(
    session: Session,
    items: Sequence[Item],
    stamps: Sequence[Stamp],
    purposes: Mapping[str, consent.Purpose],
) -> dict[int, str]:
    """Return the events that may not be collected, with the reason; counts them too."""
    denied: dict[int, str] = {}
    asking: dict[str, list[int]] = {}
    for n, (item, stamp) in enumerate(zip(items, stamps, strict=True)):
        purpose = purposes.get(item.source.collection_purpose)
        if purpose is None:
            denied[n] = "unknown_purpose"
        elif purpose.lawful_basis not in UNCONDITIONAL:
            if not stamp.readable:
                denied[n] = "signal_unparsable"
            elif purpose.key in stamp.refused:
                denied[n] = "refused"
            else:
                asking.setdefault(purpose.key, []).append(n)
    for key, numbers in asking.items():
        denied |= _ask(session, purposes[key], {n: items[n] for n in numbers})
    counts = Counter((items[n].source.collection_purpose, why) for n, why in denied.items())
    if counts:
        consent.count_denials(
            session,
            use="collect",
            denials=[(purpose, why, count) for (purpose, why), count in counts.items()],
            at=items[0].received_at,
        )
    return denied


def _ask(session: Session, purpose: consent.Purpose, items: Mapping[int, Item]) -> dict[int, str]:
    """Decide events of one collection purpose by the records of their own identifiers."""
    speakers = {speaker for item in items.values() for speaker in item.speakers}
    records = consent.history(session, sorted(speakers), purpose=purpose.key)
    denied = {}
    now = max(item.received_at for item in items.values())
    standings = consent.standings(records, at=now, known_at=now)
    for n, item in items.items():
        voices = []
        for namespace, value in item.speakers:
            standing, record_id = standings.get((namespace, value, purpose.key), ("unknown", None))
            voices.append(consent.Voice(namespace, value, standing, record_id))
        decision = consent.decide(purpose, voices, acting=voices[0] if voices else None)
        if not decision.allow:
            denied[n] = decision.reason
    return denied


def _refused(stamp: Stamp, purposes: Mapping[str, consent.Purpose]) -> list[str]:
    """Return the purposes this event may never be used for, whatever its person says later."""
    if not stamp.readable:
        return sorted(k for k, p in purposes.items() if p.lawful_basis not in UNCONDITIONAL)
    return sorted(stamp.refused)


def _row(item: Item, ids: Mapping[tuple[str, str], int], refused: list[str]) -> dict[str, Any]:
    envelope = item.envelope
    return {
        "source_id": item.source.id,
        "message_id": envelope.message_id,
        "type": envelope.type,
        "name": envelope.name,
        "identifier_ids": [ids[i] for i in envelope.identifiers],
        "user_id": envelope.user_id,
        "anonymous_id": envelope.anonymous_id,
        "occurred_at": envelope.occurred_at,
        "received_at": item.received_at,
        "sent_at": envelope.sent_at,
        "source_seq": envelope.source_seq,
        "refused": refused,
        "properties": envelope.properties,
        "context": envelope.context,
        "rest": envelope.rest,
    }


def _insert(session: Session, rows: list[dict[str, Any]]) -> set[tuple[int, str]]:
    if not rows:
        return set()
    encoded = msgspec.json.encode(rows).decode()
    inserted = session.execute(statement("app.events", "append"), {"rows": encoded})
    return {(row.source_id, row.message_id) for row in inserted}


def _outcomes(
    items: Sequence[Item], denied: Mapping[int, str], accepted: set[int]
) -> list[Outcome]:
    out = []
    for n, item in enumerate(items):
        if n in denied:
            purpose = item.source.collection_purpose
            out.append(
                Outcome(
                    "rejected",
                    "consent_denied",
                    f"not collected for {purpose}: {denied[n]}",
                )
            )
        else:
            out.append(Outcome("accepted" if n in accepted else "duplicate"))
    return out
