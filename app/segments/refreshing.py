"""Brings the members of segments up to date: of those whom a step touched, and of everybody.

One rule that PostgreSQL refuses, or that takes too long, costs only its own segment: that keeps
whom it has, less who may not be in it any more, says so, and is tried again.
"""

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, kept_out, parameters, permissions
from app.db import statement
from app.segments import asking, uses
from app.segments import compile as compiled
from app.segments.definition import Behaviour, Count
from app.segments.members import Delta, rule_of
from app.segments.tables import Segment, SegmentMember
from identity import graph
from identity import people as identity

log = logging.getLogger("parcours.segments")

#: Whoever may be in a segment at all.
EVERYBODY = Behaviour(event=" ", count=Count(gte=0))
#: Why those leave whom a rule does not have any more.
NOT_MET = "rule_no_longer_met"
#: So long may the rules of a purpose take in a step of the pipeline, and so long for everybody.
STEP_SECONDS, WHOLE_SECONDS = 10.0, 300.0


def refresh(
    session: Session,
    listed: Sequence[Segment],
    *,
    now: datetime,
    people: Collection[int] | None = None,
    merged: Collection[int] = (),
    split: Collection[int] = (),
    settled: bool = False,
    seconds: float | None = None,
) -> list[Delta]:
    """Bring the membership of these people (or of everybody) up to date and return who moved.

    `merged` and `split` are the people that a merge or its undo touched just now: who leaves
    because of a merge and comes back by its undo takes the old stay up again, as if the merge had
    never been. `settled` leaves those as they are whom the next step looks at anyway. The rules of
    a purpose may take `seconds`, or as long as is usual. Whom a rule does not have any more leaves
    for `definition_changed` until everybody was looked through by a changed definition. Locks the
    segments, not their members. Safe to repeat: a second call right after the first returns empty
    deltas.
    """
    deltas: list[Delta] = []
    for purpose, group in _by_purpose(session, _locked(session, listed)):
        started = time.perf_counter()
        one = _Refresh(session, purpose, group, now, people, seconds)
        deltas += one.run(set(merged), set(split), settled or people is None)
        if people is None:
            spent = (time.perf_counter() - started) * 1000
            for segment in group:
                segment.tried_at = now
                if segment.error is None:
                    segment.refreshed_at, segment.refresh_milliseconds = now, spent
    return sorted(deltas, key=lambda delta: delta.segment)


def _locked(session: Session, listed: Sequence[Segment]) -> list[Segment]:
    """Return segments as they are now, and let nobody change them; in one order, against deadlocks.

    Those that are gone or archived meanwhile are left out.
    """
    query = sa.select(Segment).where(Segment.id.in_([s.id for s in listed]), uses.LIVE)
    query = query.order_by(Segment.id).with_for_update()
    return list(session.scalars(query.execution_options(populate_existing=True)))


def _by_purpose(
    session: Session, listed: Iterable[Segment]
) -> Iterator[tuple[consent.Purpose, list[Segment]]]:
    groups: dict[str, list[Segment]] = {}
    for segment in listed:
        groups.setdefault(segment.purpose, []).append(segment)
    for key, group in groups.items():
        yield consent.catalogue.purpose(session, key), group


class _Refresh:
    """One refresh of the segments of one purpose."""

    def __init__(
        self,
        session: Session,
        purpose: consent.Purpose,
        group: Sequence[Segment],
        now: datetime,
        people: Collection[int] | None,
        seconds: float | None,
    ) -> None:
        self.session, self.purpose, self.group = session, purpose, group
        self.now, self.people = now, people
        self.seconds = seconds or (WHOLE_SECONDS if people is None else STEP_SECONDS)
        self.by_group = purpose.link_confidence == "deterministic"
        self.rules = [rule_of(segment) for segment in group]
        self.computed = uses.computed_of_all(session, self.rules, purpose.key)

    def run(self, merged: set[int], split: set[int], settled: bool) -> list[Delta]:
        """Find out who is inside, write who came and went, and return it."""
        left_alone = self._unsettled() if settled else set()
        found = self._inside()
        if settled:
            left_alone |= self._unsettled()
        moved: list[tuple[Segment, list[int], list[int]]] = []
        before = self._open()
        for segment, inside, halted, computed in zip(
            self.group, *found, self.computed, strict=True
        ):
            was = before.get(segment.id, set())
            if halted:  # until it can be computed nobody enters, only consent and merges take out
                inside &= was
            if computed:
                inside = (inside - left_alone) | (was & left_alone)
            moved.append((segment, sorted(inside - was), sorted(was - inside)))
        if self.people is None:
            new = [segment for segment in self.group if segment.refresh_milliseconds is None]
            count_denied(self.session, new, now=self.now)
        return self._write(moved, merged, split)

    def _inside(self) -> tuple[list[set[int]], list[bool]]:
        """Return of each segment who is inside, and whether it cannot be computed now."""
        waits = uses.waits_of_all(self.session, self.rules, self.purpose.key)
        halted = [
            bool(waiting) or (segment.error is not None and self.people is not None)
            for segment, waiting in zip(self.group, waits, strict=True)
        ]
        rules = [
            EVERYBODY if stopped else rule
            for rule, stopped in zip(self.rules, halted, strict=True)
        ]  # fmt: skip
        inside, failed = asking.answers(
            self.session,
            rules,
            lambda places: compiled.members_of_all(
                self.session,
                [rules[place] for place in places],
                self.purpose,
                now=self.now,
                people=self.people,
            ),
            self.seconds,
        )
        for place, segment in enumerate(self.group):
            if place in failed:
                fail(segment, failed[place], self.now)
                halted[place] = True
                inside[place] = compiled.members(
                    self.session, EVERYBODY, self.purpose, now=self.now, people=self.people
                )
            elif self.people is None and not waits[place]:
                segment.error = segment.failed_at = None
        return [inside[place] for place in range(len(rules))], halted

    def _open(self) -> dict[int, set[int]]:
        """Return the open stays of these people, by segment."""
        query = sa.select(SegmentMember.segment_id, SegmentMember.person_id).where(
            SegmentMember.segment_id.in_([segment.id for segment in self.group]),
            SegmentMember.left_at.is_(None),
        )
        if self.people is not None:
            concerned = set(self.people)
            if self.by_group:  # a group is called after any of these identifiers
                rows = identity.members(self.session, self.people)
                concerned |= {row.identifier_id for row in rows}
            query = query.where(graph.among(SegmentMember.person_id, concerned))
        found: dict[int, set[int]] = {}
        for row in self.session.execute(query):
            found.setdefault(row.segment_id, set()).add(row.person_id)
        return found

    def _unsettled(self) -> set[int]:
        """Return who is left as is by a look through everybody: the next step computes them anyway.

        Their consent has changed and what is computed of them not yet, so that a rule with `not`
        would let them in. A step that settles one while a segment is refreshed waits for it before
        it commits; so nobody is missed who was unsettled before or is after it.
        """
        if not any(self.computed):
            return set()
        return set(self.session.scalars(statement("app.segments", "unsettled")))

    def _write(
        self,
        moved: Sequence[tuple[Segment, list[int], list[int]]],
        merged: set[int],
        split: set[int],
    ) -> list[Delta]:
        leaving = {person for _, _, left in moved for person in left}
        if self.by_group:
            merged = self._no_groups(leaving)
            split = {person for _, entered, _ in moved for person in entered}
        denied = denials(self.session, self.purpose, leaving)
        reasons = {
            person: "merged" if person in merged else f"consent:{denied[person]}"
            for person in leaving
            if person in merged or person in denied
        }
        left_by = [
            tuple((person, reasons.get(person, _because(segment))) for person in left)
            for segment, _, left in moved
        ]
        self._enter(moved, split)
        gone = [
            {"segment_id": segment.id, "person_id": person, "why": why}
            for (segment, _, _), left in zip(moved, left_by, strict=True)
            for person, why in left
        ]
        if gone:
            bound = {"rows": msgspec.json.encode(gone).decode(), "at": self.now}
            self.session.execute(statement("app.segments", "leave"), bound)
        for segment, entered, left in moved:
            segment.members += len(entered) - len(left)
        self.session.flush()
        return [
            Delta(segment.key, segment.purpose, tuple(entered), left)
            for (segment, entered, _), left in zip(moved, left_by, strict=True)
        ]

    def _enter(
        self, moved: Sequence[tuple[Segment, list[int], list[int]]], split: set[int]
    ) -> None:
        """Open stays; one that a merge had ended, and whose merge is undone, goes on."""
        rows = [
            {"segment_id": segment.id, "person_id": person, "version": segment.version}
            for segment, entered, _ in moved
            for person in entered
        ]
        back = [row for row in rows if row["person_id"] in split]
        resumed: set[tuple[int, int]] = set()
        if back:
            encoded = msgspec.json.encode(back).decode()
            for row in self.session.execute(statement("app.segments", "resume"), {"rows": encoded}):
                resumed.add((row.segment_id, row.person_id))
        new = [row for row in rows if (row["segment_id"], row["person_id"]) not in resumed]
        if new:
            bound = {"rows": msgspec.json.encode(new).decode(), "at": self.now}
            self.session.execute(statement("app.segments", "enter"), bound)

    def _no_groups(self, ids: Collection[int]) -> set[int]:
        """Return which of these are no groups of their own any more: another has taken them in."""
        persons = set(identity.people_of(self.session, ids).values())
        groups = {row.group_id for row in identity.members(self.session, persons)}
        return set(ids) - groups


def count_denied(session: Session, new: Sequence[Segment], *, now: datetime) -> None:
    """Count, when segments are computed first, the people whom consent keeps out of them."""
    for purpose, group in _by_purpose(session, new):
        reasons = kept_out(session, purpose)
        consent.count_denials(
            session,
            use="segment",
            denials=[(purpose.key, why, people * len(group)) for why, people in reasons.items()],
            at=now,
        )


def _because(segment: Segment) -> str:
    """Return why those leave whom its rule does not have any more."""
    before = segment.version > 1 or segment.refresh_milliseconds is not None
    return "definition_changed" if before and segment.refreshed_at is None else NOT_MET


def denials(session: Session, purpose: consent.Purpose, people: Collection[int]) -> dict[int, str]:
    """Return who of these people may not be in a segment, and why."""
    if not people:
        return {}
    rows: Sequence[Any]
    if purpose.link_confidence == "deterministic":
        rows = permissions(session, purpose, people)
    else:
        rows = session.execute(decision(people), parameters(purpose, people)).all()
    allowed = {row.person_id for row in rows if row.allowed}
    return {row.person_id: row.reason for row in rows if row.person_id not in allowed}


def fail(segment: Segment, why: str, now: datetime) -> None:
    """Note why a segment cannot be computed, and since when."""
    if segment.error is None:
        segment.failed_at = now
        log.error("segment %s: %s", segment.key, why)
    segment.error = why
