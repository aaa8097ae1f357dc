"""Releases held events once their visitor agrees; destroys them on a refusal, and in time.

Level-triggered (docs/decisions/0008): what is to be done is what the tables say. An event leaves
`app.held` in the transaction that appends it, so whatever kills the process, it is stored once.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access import sources
from app.access.tables import Source
from app.db import DataRefused, Sessions, advisory_lock
from app.errors import HoldKeyUnusable
from app.events import held, tally
from app.events.append import append
from app.events.item import Item
from app.events.memory import Memory
from app.pending import answers
from app.pending import hold as pending
from app.pending.seal import Keyring, Label
from app.pending.vault import Vault

log = logging.getLogger("parcours.pending")

#: Events looked at, and deleted, in one transaction.
BATCH, EXPIRY_BATCH = 500, 5_000
#: When to look again at an event that cannot be opened; its key may come back.
RETRY = timedelta(seconds=60)
#: How often, in seconds, the mark is moved while nothing is held, events of other keys are handed
#: over, and the same is logged.
QUIET_SECONDS = 60.0
#: Changes of what is held that are summed up before they are counted anew.
MOST_CHANGES = 500


@dataclass(slots=True)
class _Look:
    """What one look at held events decided, by their ids."""

    released: dict[int, Item] = field(default_factory=dict)
    destroyed: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    later: dict[int, datetime | None] = field(default_factory=dict)
    unreadable: int = 0


class Releases:
    """The job that ends the waiting of held events. Use from one thread."""

    def __init__(self, sessions: Sessions, vault: Vault) -> None:
        """`vault` has the keys; without the right one events stay held until their time is over."""
        self._sessions = sessions
        self._vault = vault
        self._memory = Memory()
        self._done_at: dict[str, float] = {}

    def round(self) -> None:
        """Do what is due: hear the answers, look at whom they concern, delete what expired."""
        if not self._hear():
            return
        keyring = self._keyring()
        while keyring is not None and self._look(keyring):
            pass
        while self._expire():
            pass

    def _hear(self) -> bool:
        """Say whether anything is held, and mark what must be looked at."""
        with self._sessions.begin() as session, advisory_lock(session, "pending") as mine:
            if not mine:
                return False
            if answers.any_held(session):
                keyring = self._keyring()
                if keyring is not None:
                    if self._seldom("hand over"):
                        answers.hand_over(session, keyring, RETRY)
                    answers.hear(session, keyring)
                return True
            if self._seldom("move the mark"):
                answers.skip(session)
            return False

    def _keyring(self) -> Keyring | None:
        try:
            found = self._vault.keyring()
        except HoldKeyUnusable as error:
            self._warn(f"held events cannot be opened: {error}")
            return None
        if found is None:
            self._warn(f"held events cannot be opened: {self._vault.path} is not there")
        return found

    def _warn(self, what: str) -> None:
        if self._seldom("warn"):
            log.error("%s", what)

    def _seldom(self, what: str) -> bool:
        """Say whether something that is done at most once a minute is to be done now."""
        now = time.monotonic()
        if now - self._done_at.get(what, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._done_at[what] = now
        return True

    def _look(self, keyring: Keyring) -> bool:
        """Look at what is due; say whether there may be more.

        One that the database refuses costs only itself: it could not have been stored at once
        either.
        """
        with self._sessions.begin() as session:
            ids = answers.due(session, limit=BATCH)
        try:
            mine = self._look_at(keyring, ids)
        except DataRefused:
            mine = True
            for one in ids:
                try:
                    self._look_at(keyring, [one])
                except DataRefused:
                    self._destroy_unstorable(one)
        return mine and len(ids) == BATCH

    def _look_at(self, keyring: Keyring, ids: Sequence[int]) -> bool:
        """Look at these; say whether it is this process that does so now."""
        if not ids:
            return True
        with self._sessions.begin() as session, advisory_lock(session, "pending") as mine:
            if not mine:
                return False
            now = datetime.now(UTC)
            look = decide(session, keyring, answers.take(session, ids), now=now)
            if look.unreadable:
                self._warn(
                    f"{look.unreadable} held events cannot be opened with the keys of "
                    f"{self._vault.origin}; `parcours doctor` says what to do"
                )
            self._carry_out(session, look, now)
            return True

    def _carry_out(self, session: Session, look: _Look, now: datetime) -> None:
        """Append and delete in one transaction; after the append, as writers lock in this order."""
        counts = Counter[tuple[int, str, str]]()
        if look.released:
            items = list(look.released.values())
            outcomes = append(session, items, self._memory, now=now, released=True)
            for item, outcome in zip(items, outcomes, strict=True):
                if outcome.state == "accepted":
                    counts[item.source.id, "released", ""] += 1
                else:
                    counts[item.source.id, "destroyed", outcome.code or outcome.state] += 1
        for source_id, _, reason in look.destroyed.values():
            counts[source_id, "destroyed", reason] += 1
        _count_denials(session, [(p, reason) for _, p, reason in look.destroyed.values()], now)
        pending.remove(session, [*look.released, *look.destroyed])
        answers.look_later(session, look.later)
        tally.add(session, counts, now)

    def _destroy_unstorable(self, one: int) -> None:
        with self._sessions.begin() as session:
            gone = pending.remove(session, [one])
            counts = Counter((row.source_id, "destroyed", "unstorable") for row in gone)
            tally.add(session, counts, datetime.now(UTC))

    def _expire(self) -> bool:
        """Delete what nobody answered for in time; say whether there may be more."""
        with self._sessions.begin() as session, advisory_lock(session, "pending") as mine:
            if not mine:
                return False
            now = datetime.now(UTC)
            gone = pending.expire(session, limit=EXPIRY_BATCH)
            purposes = _purposes(session, {row.source_id for row in gone})
            _count_denials(session, [(purposes[row.source_id], "unknown") for row in gone], now)
            tally.add(session, Counter((r.source_id, "destroyed", "expired") for r in gone), now)
            pending.count_anew(session, above=MOST_CHANGES)
            return len(gone) == EXPIRY_BATCH


def decide(
    session: Session, keyring: Keyring, rows: Sequence[sa.Row[Any]], *, now: datetime
) -> _Look:
    """Say of each of these held events what its visitor's answer means for it now."""
    look = _Look()
    settings = _settings(session, {row.source_id for row in rows})
    asked: dict[str, dict[int, Item]] = {}
    for row in rows:
        label = Label(row.source_id, bytes(row.message), row.received_at, row.expires_at)
        plain = keyring.open(bytes(row.key_id), bytes(row.sealed), label)
        content = held.read(plain) if plain is not None else None
        if content is None:
            look.later[row.id] = now + RETRY
            look.unreadable += 1
        else:
            item = Item(settings[row.source_id], content.envelope, row.received_at)
            asked.setdefault(content.purpose, {})[row.id] = item
    purposes = consent.catalogue.purposes(session)
    for key, items in asked.items():
        if key in purposes:
            _ask(session, purposes[key], items, look, now)
        else:
            gone = {i: (item.source.id, key, "unknown_purpose") for i, item in items.items()}
            look.destroyed.update(gone)
    return look


def _ask(
    session: Session,
    purpose: consent.Purpose,
    items: Mapping[int, Item],
    look: _Look,
    now: datetime,
) -> None:
    speakers = {speaker for item in items.values() for speaker in item.speakers}
    records = consent.history(session, sorted(speakers), purpose=purpose.key)
    standings = consent.standings(records, at=now, known_at=None, purposes={purpose.key: purpose})
    bands = consent.against_storing(session, speakers, at=now)
    begins = _begins(records, now)
    for i, item in items.items():
        voices = [
            consent.Voice.of(
                speaker,
                standings.get((*speaker, purpose.key), consent.UNKNOWN),
                bar=consent.strictest(purpose, bands.get(speaker, ())),
            )
            for speaker in item.speakers
        ]
        decision = consent.decide(purpose, voices, acting=voices[0] if voices else None)
        what = held.verdict(decision, voices)
        if what == held.RELEASE:
            look.released[i] = item
        elif what == held.WAIT:
            look.later[i] = min((begins[s] for s in item.speakers if s in begins), default=None)
        else:
            look.destroyed[i] = item.source.id, purpose.key, what


def _begins(
    records: Sequence[consent.ConsentRecord], now: datetime
) -> dict[tuple[str, str], datetime]:
    """Return when the next grant of an identifier begins that is dated in the future."""
    begins: dict[tuple[str, str], datetime] = {}
    for record in records:
        if record.state == "given" and record.effective_at > now:
            who = (record.namespace, record.value)
            begins[who] = min(begins.get(who, record.effective_at), record.effective_at)
    return begins


def _settings(session: Session, ids: set[int]) -> dict[int, sources.SourceSettings]:
    """Return the sources' settings now; also of those that were removed: what they sent stays."""
    found = session.scalars(sa.select(Source).where(Source.id.in_(ids)))
    return {source.id: sources.settings_of(source) for source in found}


def _purposes(session: Session, ids: set[int]) -> dict[int, str]:
    return {i: s.collection_purpose for i, s in _settings(session, ids).items()}


def _count_denials(session: Session, denials: Sequence[tuple[str, str]], at: datetime) -> None:
    """Count what was not stored after all, as if it had been refused when it came."""
    counted = Counter(denials)
    consent.count_denials(
        session,
        use="collect",
        denials=[(purpose, reason, n) for (purpose, reason), n in counted.items()],
        at=at,
    )
