"""Decides what may be sent, a moment before it is: consent, fields, and the note in evidence."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.destinations import google, held, manifest, mapping, places
from app.destinations.held import Held
from app.destinations.jobs import Ended, Job
from app.destinations.kind import Intent, Kind, Record, Setup
from app.destinations.messages import (
    Imagined,
    by_namespace,
    members_of,
    record_of,
    segment_of,
)
from app.destinations.outbox import (
    ENTERED,
    ERASED,
    EXITED,
    UPDATED,
    allowed_people,
    decided,
    permitted,
    queue,
)
from app.destinations.tables import Destination
from app.profiles import computed_values, read, summary
from app.segments.members import of_another_purpose
from identity import people

INTENTS: dict[str, Intent] = {ENTERED: "hold", EXITED: "release", ERASED: "forget"}
NOT_ALLOWED = "consent no longer allows it"
NOT_HELD = "the receiver holds nothing of it"
UNCHANGED = "nothing has changed since it was sent last"
ANOTHERS = "the segment serves another purpose now"
TAKEN = "the receiver knows somebody else by the same"


class Deciding:
    """The decisions about one batch of one destination, in one transaction."""

    def __init__(
        self, session: Session, destination: Destination, kind: Kind, setup: Setup
    ) -> None:
        """Decide as of now."""
        self._session, self._destination = session, destination
        self._kind, self._setup = kind, setup
        self._mapping = mapping.READER.validate_python(destination.mapping)
        self._now = datetime.now(UTC)
        #: Of a trait that is not computed for everybody nothing is known: neither is it empty.
        mapped = [source.computed for source in self._mapping.values() if source.computed]
        self._waits = computed_values.unready(session, mapped) if mapped else ""
        self._anothers = of_another_purpose(session, destination.segments, destination.purpose)
        #: Who is in and is sent nothing, as it will be noted.
        self._absent: list[tuple[Any, Held]] = []

    def decide(
        self, rows: Sequence[sa.Row[Any]], known: Collection[int]
    ) -> tuple[list[Job], list[Ended]]:
        """Say what is sent and what not, and note what is to be sent in evidence of it.

        `known` are the identifiers that are held in use: whoever has more by now is decided in the
        next round.
        """
        members = members_of(self._session, rows)
        early = {who for who, ids in members.items() if not ids <= frozenset(known)}
        mine = [row for row in rows if row.person_id not in early]
        ended = [Ended(row, "again") for row in rows if row.person_id in early]
        before = held.of(self._session, self._destination.id, {r.profile_id for r in mine})
        allowed, sent = self._allowed(mine, before)
        jobs = []
        for row in mine:
            found = self._one(row, before.get(row.profile_id), sent, row.id in allowed)
            if isinstance(found, Ended):
                ended.append(found)
            else:
                jobs.append(found)
        jobs, later = self._apart(jobs)
        ended += [Ended(job.row, "again") for job in later]
        jobs = [self._named(job) for job in jobs]
        self._note(jobs, sent, members)
        self._begin(jobs)
        for row, absent in self._absent:
            held.note(self._session, self._destination.id, row, absent, at=self._now)
        # What is taken back first: another person's record may take its place.
        return sorted(jobs, key=lambda job: job.record.intent == "hold"), ended

    def _apart(self, jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
        """Return the jobs of now, and those of people whom the receiver knows by the same: later.

        Whichever was written last has the record; of two that are sent at once nobody knows.
        """
        now: list[Job] = []
        later: list[Job] = []
        seen: set[bytes | None] = set()
        for job in jobs:
            holds = job.record.intent == "hold"
            key = job.then.key if holds and job.then else None
            (later if key in seen else now).append(job)
            seen |= {key} - {None}
        return now, later

    def _named(self, job: Job) -> Job:
        """Give what says something else than was sent under its id before an id of its own.

        An answer may have been lost: who drops what it has seen would drop what is so now. Somebody
        waits for the rest by their ids: what they say is said once more with the next look.
        """
        said = job.record
        if said.intent == "hold" and said.remote is None:
            said = replace(said, remote=self._kind.known_by(self._setup, said))
        job = replace(job, told=mapping.told(said))
        if job.row.told is None or job.row.told == job.told:
            return job
        if job.row.type in (ENTERED, EXITED, UPDATED):
            return replace(job, record=replace(job.record, message_id=str(uuid4())))
        return replace(job, then=job.then and replace(job.then, digest=None))

    def _begin(self, jobs: Iterable[Job]) -> None:
        """Note what receivers may hold from now on: an answer may be lost, or we with it.

        What is sent next is compared with nothing until an answer says what has arrived.
        """
        telling = [job for job in jobs if job.then is not None]
        held.unsure(self._session, self._destination.id, [job.row.profile_id for job in telling])
        for job in telling:
            if job.begun is not None and self._kind.holds_records:
                held.note(self._session, self._destination.id, job.row, job.begun, at=self._now)
            elif job.begun is not None:
                held.begin(self._session, self._destination.id, job.row, job.begun, at=self._now)

    def preview(self, persons: Collection[int], segment: str) -> tuple[list[Record], list[str]]:
        """Return what these members would be sent, and what is wrong with those who would not.

        Nothing is noted but denials.
        """
        profiles = people.profile_ids(self._session, set(persons))
        rows: list[Any] = [Imagined(p, profiles[p], segment, self._now) for p in sorted(persons)]
        allowed, sent = self._allowed(rows, {})
        records: list[Record] = []
        wrong: list[str] = []
        for row in rows:
            found = self._one(row, None, sent, row.id in allowed)
            if isinstance(found, Ended):
                wrong.append(f"{row.profile_id}: {found.reason}")
            else:
                records.append(found.record)
        return records, wrong

    def _allowed(
        self, rows: Sequence[Any], before: Mapping[UUID, Held]
    ) -> tuple[set[int], dict[int, manifest.Sent]]:
        """Return the ids of the messages whose people may be known, and why each of them may."""
        asked = [row for row in rows if self._tells(row, before.get(row.profile_id))]
        persons = {row.person_id for row in asked}
        to = self._destination
        allowed = allowed_people(
            self._session, to.purpose, persons, now=self._now,
            tcf_vendor=to.tcf_vendor, also_for=to.also_for,
        )  # fmt: skip
        why, _ = permitted(self._session, to.purpose, allowed, to.also_for) if allowed else ({}, {})
        ids = {i for reasons in why.values() for i in reasons}
        named = {i.id: i for i in people.identifiers(self._session, ids)} if ids else {}
        sent = {}
        for row in asked:
            reasons = why.get(row.person_id, {})
            about = [named[i] for i in sorted(reasons)]
            reason = next(iter(reasons.values()), manifest.NOBODY)
            sent[row.id] = manifest.Sent(row, str(row.message_id), reason, about)
        return {row.id for row in asked if row.person_id in allowed}, sent

    def _tells(self, row: Any, before: Held | None) -> bool:
        """Say whether somebody has to allow it: all but what takes back, or names nobody."""
        if row.type in (ENTERED, UPDATED):
            return True
        if not self._kind.holds_records or row.type == ERASED:
            return False
        return row.type != EXITED or bool(before and before.segments - {row.payload["segment"]})

    def _one(
        self, row: Any, before: Held | None, sent: Mapping[int, manifest.Sent], allowed: bool
    ) -> Job | Ended:
        if row.type == ENTERED and segment_of(row) in self._anothers:
            return Ended(row, "dropped", ANOTHERS)
        if not self._kind.holds_records:
            return self._told(row, before, sent, allowed)
        return self._kept(row, before, sent, allowed)

    def _told(
        self, row: Any, before: Held | None, sent: Mapping[int, manifest.Sent], allowed: bool
    ) -> Job | Ended:
        """Decide for a receiver that is told what happened, and how it is since then.

        Each message says all of it, so that a copy is right that replaces what it had.
        """
        was = before or Held(None, frozenset(), None, False)
        record = replace(record_of(row), intent=INTENTS.get(row.type, "tell"))
        data: dict[str, Any] = {"profile_id": str(row.profile_id), **row.payload}
        if row.type == EXITED:
            inside = was.segments - {segment_of(row)}
            data["segments"] = sorted(inside)
            then = replace(was, segments=inside)
            return Job(row, replace(record, segments=inside, data=data), then)
        if row.type not in (ENTERED, UPDATED):
            return Job(row, replace(record, data=data), None)
        inside = was.segments | ({segment_of(row)} if row.type == ENTERED else set())
        if not inside:
            return Ended(row, "dropped", NOT_HELD)
        if not allowed:
            self._leaves(row, was)
            return Ended(row, "dropped", NOT_ALLOWED)
        identifiers = by_namespace(sent[row.id].identifiers)
        named = {one.id for one in sent[row.id].identifiers}
        more = google.consent_of(self._session, self._destination.purpose, named)
        made = mapping.digest(more, (), identifiers)
        if row.type == UPDATED and made == was.digest:
            held.looked_at(self._session, self._destination.id, row.profile_id, at=self._now)
            return Ended(row, "dropped", UNCHANGED)
        data |= {"identifiers": identifiers, "segments": sorted(inside), **more}
        record = replace(record, intent="hold", segments=inside, data=data, identifiers=identifiers)
        # Nothing says who is in at a receiver that keeps a record, but that it has taken it.
        begun = Held(None, frozenset(inside), None, False)
        return Job(row, record, Held(None, inside, made, False), begun=begun)

    def _kept(
        self, row: Any, before: Held | None, sent: Mapping[int, manifest.Sent], allowed: bool
    ) -> Job | Ended:
        """Decide for a receiver that keeps a record: what it may hold from now on."""
        was = before or Held(None, frozenset(), None, False)
        if row.type == ERASED or (row.type == EXITED and not was.segments - {segment_of(row)}):
            return self._taken_back(row, before)
        if row.type == EXITED and not allowed:
            return self._taken_back(row, before)
        about = {segment_of(row)} if row.type in (ENTERED, EXITED) else set()
        inside = was.segments | about if row.type == ENTERED else was.segments - about
        news = row.type not in (ENTERED, EXITED, UPDATED)  # a rectification: somebody waits for it
        if not inside:
            return Ended(row, "delivered" if news else "dropped", NOT_HELD)
        if not allowed:
            self._leaves(row, was)
            return self._taken_back(row, before) if news else Ended(row, "dropped", NOT_ALLOWED)
        if self._waits:
            return Ended(row, "later", f"waits for computed traits: {self._waits}")
        identifiers = by_namespace(sent[row.id].identifiers)
        values, wrong = self._fields(row, sent[row.id], identifiers, inside)
        if wrong:
            return self._unfit(row, before, inside, "; ".join(wrong))
        made = mapping.digest(values, inside, identifiers)
        if row.type == UPDATED and made == was.digest:
            held.looked_at(self._session, self._destination.id, row.profile_id, at=self._now)
            return Ended(row, "dropped", UNCHANGED)
        record = replace(
            record_of(row),
            identifiers=identifiers,
            segments=inside,
            fields=values,
            agreed_again=was.withdrawn,
        )
        known_by = self._kind.known_by(self._setup, record)
        if was.lost and held.same(was.lost, known_by):
            return Ended(row, "failed", TAKEN)
        to, who = self._destination.id, row.profile_id
        key = places.key(self._kind, to, known_by)
        if key and known_by and places.is_anothers(self._session, to, who, was, key, known_by):
            return self._unfit(row, before, inside, TAKEN, key)
        maybe = places.unanswered(was.also, known_by)
        record = replace(record, remote=places.there(was, known_by))
        return Job(
            row, record, Held(was.remote, inside, made, False, also=was.also, key=key),
            before=was, begun=places.begun(self._kind, was, known_by, key),
            first=places.elsewhere(self._session, to, who, maybe, places.released(record)),
        )  # fmt: skip

    def _leaves(self, row: Any, was: Held) -> None:
        """Queue that who refuses the vendor, or another purpose that is needed, leaves.

        No segment says so: it asks for its own purpose alone.
        """
        to = self._destination
        maybe = {segment_of(row)} if row.type == ENTERED and row.sent else set()
        inside = was.segments | maybe
        if (to.tcf_vendor is None and not to.also_for) or not inside:
            return
        _, denied = decided(
            self._session, to.purpose, [row.person_id], now=self._now,
            tcf_vendor=to.tcf_vendor, also_for=to.also_for,
        )  # fmt: skip
        said = {"reason": f"consent:{denied.get(row.person_id, 'not_allowed')}"}
        for segment in sorted(inside):
            queue(self._session, to, segment, [(row.person_id, EXITED, said)], self._now)

    def _unfit(
        self, row: Any, before: Held | None, inside: frozenset[str], why: str,
        key: bytes | None = None,
    ) -> Job | Ended:  # fmt: skip
        """Decide for a person of whom no record can be made: what was sent before is taken back.

        They are in all the same, and looked at when something changes, or the address is free.
        """
        was = before or Held(None, frozenset(), None, False)
        absent = replace(was, segments=inside, digest=None, lost=None, key=key, absent=True)
        if was.absent or not self._may_hold(row, before):
            self._absent.append((row, absent))
            if row.type == ENTERED or not was.absent:
                return Ended(row, "failed", why)
            looked = row.type in (UPDATED, EXITED)
            return Ended(row, "dropped", why) if looked else Ended(row, "delivered", NOT_HELD)
        found = self._taken_back(row, was)
        if isinstance(found, Ended):
            return found
        then = replace(absent, withdrawn=was.withdrawn, also=found.then.also if found.then else ())
        return replace(found, failed=None if row.type == EXITED else why, then=then)

    def _may_hold(self, row: Any, before: Held | None) -> bool:
        """Say whether a receiver may hold a record: also where only its answer was lost."""
        return (row.type == ENTERED and row.sent) or bool(
            before and (before.segments or before.remote or before.also)
        )

    def _taken_back(self, row: Any, before: Held | None) -> Job | Ended:
        if before is not None and before.absent and not (before.remote or before.also):
            held.drop(self._session, self._destination.id, row.profile_id)
            before = None
        if before is None:
            if row.type == ERASED:  # told of, and held under another's name since: nothing to say
                return Ended(row, "delivered", NOT_HELD)
            return Ended(row, "dropped", NOT_HELD)
        withdrawn = str(row.payload.get("reason", "")).startswith("consent:")
        record = replace(
            record_of(row),
            intent="forget" if row.type == ERASED else "release",
            fields=dict.fromkeys(self._destination.mapping),
            remote=before.remote,
            withdrawn=withdrawn,
        )
        every = row.type == ERASED or withdrawn
        others = places.elsewhere(
            self._session, self._destination.id, row.profile_id,
            before.also if every else places.unanswered(before.also), record,
        )  # fmt: skip
        if record.remote is None and others:
            record, *rest = others
            others = tuple(rest)
        left = Held(
            before.remote, frozenset(), None, withdrawn or before.withdrawn, also=before.also
        )
        then = None if row.type == ERASED else left
        return Job(row, record, then, before=before, first=others)

    def _fields(
        self, row: Any, sent: manifest.Sent, identifiers: Any, inside: frozenset[str]
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the fields of one person by the mapping, of identifiers that may be used."""
        wanted = self._mapping
        ids = tuple(sorted(one.id for one in sent.identifiers))
        view = read.View(
            row.person_id, row.person_id, row.profile_id, self._destination.purpose, ids, ()
        )
        traits: dict[str, Any] = {}
        computed: dict[str, Any] = {}
        if any(source.trait for source in wanted.values()):
            traits = summary.plain(read.traits(self._session, view))
        if any(source.computed for source in wanted.values()):
            found = computed_values.of_views(self._session, [view], now=self._now)
            computed = summary.plain_computed(found.get(row.person_id, []))
        known = mapping.Known(traits, computed, identifiers, inside, str(row.profile_id))
        return mapping.fields(wanted, self._kind.targets(self._setup.settings), known)

    def _note(
        self,
        jobs: Iterable[Job],
        sent: Mapping[int, manifest.Sent],
        members: Mapping[int, set[int]],
    ) -> None:
        """Note the sends; what takes back rests on having told before. Of the erased is none."""
        notes = []
        for job in jobs:
            message = job.record.message_id
            if job.record.intent == "hold":
                notes.append(replace(sent[job.row.id], message=message))
            elif job.row.person_id in members:
                about = people.identifiers(self._session, members[job.row.person_id])
                before = manifest.TOLD_BEFORE
                notes.append(manifest.Sent(job.row, message, before, about, job.record.intent))
        manifest.note(self._session, self._destination, notes)
