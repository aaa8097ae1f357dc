"""What a writer of events remembers between two transactions, so as not to ask each time.

Nothing here may ever be false: ids of identifiers never change, and what is remembered of consent
is forgotten at the start of the first transaction after somebody else recorded something.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.access.sources import SourceSettings
from app.events.item import Speaker
from app.plans.in_force import Plans
from app.suppression.gate import Gate
from consent.reach import reach
from consent.signals.read import read
from consent.signals.stamp import ABSENT, Rules, Stamp
from identity import graph, people

#: Identifiers whose ids are remembered, and those whose consent is. When there are more, it starts
#: anew. They take 250 and 900 bytes each: 25 and 45 MB. Longer ones than people have are not
#: remembered: 100,000 of 1 KB were 100 MB more.
MOST_IDENTIFIERS = 100_000
MOST_VOICES = 50_000
LONGEST_VALUE = 200
#: Different consent objects, of all sources, and the longest one, that are remembered.
MOST_STAMPS = 10_000
LONGEST_STAMP = 1_024
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Heard:
    """What one identifier's events said last, all of which is on record.

    Any event of the same identifier from `since` until before `until` with the same stamp says
    nothing new. `again` is when it was said last to this source, by the clock of who said it, and
    `received` when that came; None where nothing newer was said than what is on record.
    """

    stamp: Stamp
    since: datetime
    until: datetime
    source: SourceSettings
    again: datetime | None = None
    received: datetime | None = None


@dataclass(slots=True)
class _Voice:
    heard: Heard | None = None
    #: By purpose: what the identifier says, the record that says so, since and until when.
    standings: dict[str, tuple[consent.Said, datetime, datetime]] = field(default_factory=dict)


class Memory:
    """The memory of one writer. Use from one thread."""

    def __init__(self) -> None:
        """Know nothing."""
        self.purposes: dict[str, consent.Purpose] = {}
        self.versions = consent.Versions()
        self.plans = Plans()
        self.gate = Gate()
        self.reach = reach((), ())
        self._versions = -1
        self._mark = 0
        self._own: set[int] = set()
        self._ids: dict[Speaker, int] = {}
        self._voices: dict[Speaker, _Voice] = {}
        self._contradicted: dict[Speaker, Heard] = {}
        self._stamps: dict[tuple[int, bytes, bytes, bool], Stamp] = {}
        #: The categories and rules with which the stamps of each source were read.
        self._readings: dict[int, tuple[Mapping[str, Iterable[str]], Rules]] = {}

    def refresh(self, session: Session) -> None:
        """Forget what others have changed. Call it first in every transaction.

        Nobody is erased from then on until its end.
        """
        if self.gate.refresh(session):  # ids of who was erased stand for nobody any more
            self._ids.clear()
            self._voices.clear()
            self._contradicted.clear()
        changes = consent.changes_since(session, self._mark, self._own)
        if changes.mark < self._mark:  # another cluster, or this one as it was before
            self._ids.clear()
            self._own.clear()
            self._mark = 0
        if not self._mark or changes.identifiers is None:
            self._voices.clear()
        else:
            for speaker in changes.identifiers:
                voice = self._voices.pop(speaker, None)
                if voice and voice.heard and voice.heard.again:
                    self._contradicted[speaker] = voice.heard
        self._mark = changes.mark
        self._own = {t for t in self._own if t >= changes.mark}
        if changes.purposes != self._versions:
            self.purposes = consent.catalogue.purposes(session)
            self.versions = consent.catalogue.history(session)
            self.reach = reach(self.purposes, self.versions.states(datetime.now(UTC)))
            self._versions = changes.purposes
            self._stamps.clear()
            self._voices.clear()

    def below(self, key: str) -> frozenset[str]:
        """Return what lies below a purpose, now or by what is announced."""
        return self.reach.below.get(key, frozenset())

    def ids(self, session: Session, wanted: set[Speaker]) -> dict[Speaker, int]:
        """Return the ids of these identifiers, made where new; kept once committed."""
        known = self._ids
        found = {i: known[i] for i in wanted if i in known}
        new = graph.identify(session, wanted - found.keys())
        if new:
            after_commit(session, lambda: self._keep_ids(new))
        return found | new

    def known(self, session: Session, wanted: Collection[Speaker]) -> set[int]:
        """Return the ids of those of these identifiers that have one; makes none."""
        there = {i: self._ids[i] for i in wanted if i in self._ids}
        rest = set(wanted) - there.keys()
        found = people.find_identifiers(session, rest) if rest else {}
        return {*there.values(), *found.values()}

    def knows(self, speaker: Speaker) -> bool:
        """Say whether the id of this identifier is remembered: then it was not erased."""
        return speaker in self._ids

    def _keep_ids(self, ids: Mapping[Speaker, int]) -> None:
        if len(self._ids) + len(ids) > MOST_IDENTIFIERS:
            self._ids.clear()
        self._ids.update((i, ids[i]) for i in ids if _usual(i))

    def stamp(
        self, source: SourceSettings, words: bytes, beside: bytes, *, answer: bool, now: datetime
    ) -> Stamp:
        """Return what an event says about consent; the same object for the same words."""
        if not words and not beside and not answer:
            return ABSENT
        reading = source.categories, source.signals
        if self._readings.get(source.id) != reading:
            self._forget_stamps(source.id)
            self._readings[source.id] = reading
        key = source.id, words, beside, answer
        found = self._stamps.get(key)
        if found is None or (found.until is not None and found.until <= now):
            found = read(
                words,
                beside,
                known=self.reach.known,
                categories=source.categories,
                rules=source.signals,
                answer=answer,
                now=now,
                below=self.reach.below,
                universal=self.reach.universal,
            )
            if len(words) + len(beside) <= LONGEST_STAMP:
                if len(self._stamps) >= MOST_STAMPS:
                    self._stamps.clear()
                self._stamps[key] = found
        return found

    def _forget_stamps(self, source_id: int) -> None:
        """Forget what one source's consent objects meant when they were read otherwise."""
        if source_id in self._readings:
            self._stamps = {k: stamp for k, stamp in self._stamps.items() if k[0] != source_id}

    def heard(self, speaker: Speaker) -> Heard | None:
        """Return what this identifier's events said last, where that is known."""
        voice = self._voices.get(speaker)
        return voice.heard if voice else None

    def repeated(self, speaker: Speaker, heard: Heard, at: datetime, received: datetime) -> None:
        """Note that this identifier said the same again; others may have been told it before us."""
        if heard.again is None or at > heard.again:
            self._voices[speaker].heard = replace(heard, again=at, received=received)

    def refused_since(self, speaker: Speaker, purpose: str, at: datetime) -> bool:
        """Say whether this identifier was heard to refuse again what it gave before that."""
        heard = self.heard(speaker)
        if heard is None or heard.again is None or heard.again <= at:
            return False
        return purpose in heard.stamp.refused | heard.stamp.opt_out

    def contradicted(self, session: Session) -> Mapping[Speaker, Heard]:
        """Return who was heard to say something again, and of whom others recorded something since.

        Of what is only said again nothing is on record: what others recorded may have been said
        before it. They are forgotten once this is committed.
        """
        found = dict(self._contradicted)

        def forget() -> None:
            for speaker in found:
                self._contradicted.pop(speaker, None)

        if found:
            after_commit(session, forget)
        return found

    def standing(self, speaker: Speaker, purpose: str, at: datetime) -> consent.Said | None:
        """Return what this identifier says about a purpose, where that is known."""
        voice = self._voices.get(speaker)
        known = voice.standings.get(purpose) if voice else None
        return known[0] if known and known[1] <= at < known[2] else None

    def wrote(self, session: Session, written: Iterable[consent.Written]) -> None:
        """Forget what our own new records say otherwise; they need not be told to us again.

        Ours is only what was committed: after a crash of PostgreSQL the number of a transaction
        that was lost may be another writer's.
        """
        own = set()
        for row in written:
            own.add(row.transaction)
            self._voices.pop((row.namespace, row.value), None)
        if own:
            after_commit(session, lambda: self._own.update(own))

    def keep_heard(self, session: Session, heard: Mapping[Speaker, Heard]) -> None:
        """Remember, once committed, what these identifiers' events said."""

        heard = {speaker: what for speaker, what in heard.items() if _usual(speaker)}

        def keep() -> None:
            self._make_room(len(heard))
            for speaker, what in heard.items():
                self._voices.setdefault(speaker, _Voice()).heard = what

        if heard:
            after_commit(session, keep)

    def keep_standings(
        self,
        session: Session,
        purpose: str,
        standings: Mapping[Speaker, tuple[consent.Said, datetime, datetime]],
    ) -> None:
        """Remember, once committed, what these identifiers say about a purpose."""

        standings = {speaker: what for speaker, what in standings.items() if _usual(speaker)}

        def keep() -> None:
            self._make_room(len(standings))
            for speaker, what in standings.items():
                self._voices.setdefault(speaker, _Voice()).standings[purpose] = what

        if standings:
            after_commit(session, keep)

    def _make_room(self, wanted: int) -> None:
        if len(self._voices) + wanted > MOST_VOICES:
            self._voices.clear()


def _usual(speaker: Speaker) -> bool:
    """Say whether an identifier is no longer than those of people are."""
    return len(speaker[1]) <= LONGEST_VALUE


def after_commit(session: Session, call: Callable[[], None]) -> None:
    """Do this when, and only when, the transaction is committed."""
    sa.event.listen(session, "after_commit", lambda _: call(), once=True)
