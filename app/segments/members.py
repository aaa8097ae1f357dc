"""Segments and their members: who is in, since when, who came and who went."""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.consents.permission import decision, parameters, permissions
from app.db import statement
from app.errors import DefinitionInvalid, SegmentExists, SegmentNotFound
from app.profiles.conditions import pointed
from app.segments import compile as compiled
from app.segments import lists, uses
from app.segments.definition import RULE, Behaviour, Computed, Count, Rule
from app.segments.tables import Segment, SegmentMember
from identity import graph
from identity import people as identity

#: Whoever may be in a segment at all.
EVERYBODY = Behaviour(event=" ", count=Count(gte=0))
#: Made once: every step of the pipeline and every merge asks.
ALL = sa.select(Segment).order_by(Segment.key)


@dataclass(frozen=True, slots=True)
class Delta:
    """Who entered and who left a segment, and why those left."""

    segment: str
    purpose: str
    entered: tuple[int, ...]
    left: tuple[tuple[int, str], ...]


def rule_of(segment: Segment) -> Rule:
    """Return the rule of a stored segment."""
    return RULE.validate_python(segment.rule)


def create(session: Session, *, key: str, name: str, purpose: str, rule: dict[str, Any]) -> Segment:
    """Create a segment; it is filled by `refresh`.

    Raises DefinitionInvalid, SegmentExists, PurposeNotFound.
    """
    consent.catalogue.purpose(session, purpose)
    uses.check(session, parse(rule), purpose)
    if session.scalar(sa.select(Segment.id).where(Segment.key == key)):
        raise SegmentExists(key)
    segment = Segment(key=key, name=name, purpose=purpose, rule=rule)
    session.add(segment)
    session.flush()
    return segment


def parse(rule: Any) -> Rule:
    """Return a rule from its JSON; raises DefinitionInvalid, which says where it is wrong."""
    try:
        return RULE.validate_python(rule)
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "rule")) from error


def find(session: Session, key: str) -> Segment:
    """Return a segment; raises SegmentNotFound."""
    segment = session.scalar(sa.select(Segment).where(Segment.key == key))
    if segment is None:
        raise SegmentNotFound(key)
    return segment


def list_all(session: Session) -> list[Segment]:
    """Return all segments, by key."""
    return list(session.scalars(ALL))


def refresh(
    session: Session,
    segment: Segment,
    *,
    now: datetime,
    people: Collection[int] | None = None,
    merged: Collection[int] = (),
    split: Collection[int] = (),
) -> Delta:
    """Bring the membership of these people (or of everybody) up to date and return who moved.

    `merged` and `split` are the people that a merge or its undo touched just now: who leaves
    because of a merge and comes back by its undo takes the old stay up again, as if the merge had
    never been. Locks the segment, not its members. Safe to repeat: a second call right after
    the first returns an empty delta.
    """
    started = time.perf_counter()
    session.execute(sa.select(Segment.id).where(Segment.id == segment.id).with_for_update())
    purpose = consent.catalogue.purpose(session, segment.purpose)
    waits = uses.waits_for(session, rule_of(segment), segment.purpose)
    unsettled = _unsettled(session, segment, people)
    rule = EVERYBODY if waits else rule_of(segment)
    inside = compiled.members(session, rule, purpose, now=now, people=people)
    concerned, gone, back = people, set(merged), set(split)
    by_group = purpose.link_confidence == "deterministic"
    if by_group and people is not None:  # a group is called after any of these identifiers
        rows = identity.members(session, people)
        concerned = {row.identifier_id for row in rows} | set(people)
    before = _open(session, segment, concerned)
    if waits:  # until it can be computed nobody enters, and only consent and merges take out
        inside &= before
    unsettled |= _unsettled(session, segment, people)
    inside = (inside - unsettled) | (before & unsettled)
    entered, left = sorted(inside - before), sorted(before - inside)
    if by_group:
        gone, back = _no_groups(session, left), set(entered)
    _enter(session, segment, entered, back, now)
    reasons = _why(session, segment, left, gone)
    for person, why in reasons:
        session.execute(
            sa.update(SegmentMember)
            .where(
                SegmentMember.segment_id == segment.id,
                SegmentMember.person_id == person,
                SegmentMember.left_at.is_(None),
            )
            .values(left_at=now, why_left=why)
        )
    if people is None:
        if segment.refreshed_at is None:
            _count_denied(session, segment, now)
        segment.refreshed_at = now
        segment.refresh_milliseconds = (time.perf_counter() - started) * 1000
    return Delta(segment.key, segment.purpose, tuple(entered), tuple(reasons))


def _unsettled(session: Session, segment: Segment, people: Collection[int] | None) -> set[int]:
    """Return who is left as is by a refresh of everybody: the next step computes them anyway.

    Their consent has changed and what is computed of them not yet, so that a rule with `not` would
    let them in. A step that settles one while a segment is refreshed waits for it before it
    commits; so nobody is missed who was unsettled before or is after it.
    """
    if people is not None or not uses.is_made_of(session, segment, Computed):
        return set()
    return set(session.scalars(statement("app.segments", "unsettled")))


def _no_groups(session: Session, ids: Collection[int]) -> set[int]:
    """Return which of these are no groups of their own any more: another has taken them in."""
    persons = set(identity.people_of(session, ids).values())
    groups = {row.group_id for row in identity.members(session, persons)}
    return set(ids) - groups


def empty(session: Session, segment: Segment, *, now: datetime) -> Delta:
    """End every stay, because the segment itself goes."""
    left = sorted(_open(session, segment, None))
    session.execute(
        sa.update(SegmentMember)
        .where(SegmentMember.segment_id == segment.id, SegmentMember.left_at.is_(None))
        .values(left_at=now, why_left="segment_deleted")
    )
    lists.forget(session, segment, rule_of(segment))
    reasons = tuple((person, "segment_deleted") for person in left)
    return Delta(segment.key, segment.purpose, (), reasons)


def _open(session: Session, segment: Segment, people: Collection[int] | None) -> set[int]:
    query = sa.select(SegmentMember.person_id).where(
        SegmentMember.segment_id == segment.id, SegmentMember.left_at.is_(None)
    )
    if people is not None:
        query = query.where(graph.among(SegmentMember.person_id, people))
    return set(session.scalars(query))


def _enter(
    session: Session, segment: Segment, people: Sequence[int], split: set[int], now: datetime
) -> None:
    """Open a stay for each; one that a merge had ended, and whose merge is undone, goes on."""
    if not people:
        return
    resumed = set(
        session.scalars(
            statement("app.segments", "resume"),
            {"segment_id": segment.id, "people": sorted(split & set(people))},
        )
    )
    rows = [
        {"segment_id": segment.id, "person_id": p, "entered_at": now}
        for p in people
        if p not in resumed
    ]
    if rows:
        session.execute(sa.insert(SegmentMember), rows)


def _why(
    session: Session, segment: Segment, people: Sequence[int], merged: set[int]
) -> list[tuple[int, str]]:
    """Say why each left: merged into another, consent, or the rule no longer holds."""
    from_consent = {
        person: f"consent:{why}" for person, why in _denied(session, segment, people).items()
    }
    return [
        (p, "merged" if p in merged else from_consent.get(p, "rule_no_longer_met")) for p in people
    ]


def _count_denied(session: Session, segment: Segment, now: datetime) -> None:
    """Count, when a segment is computed first, the people whom consent keeps out of it."""
    reasons = Counter(_denied(session, segment, None).values())
    consent.count_denials(
        session,
        use="segment",
        denials=[(segment.purpose, why, people) for why, people in reasons.items()],
        at=now,
    )


def _denied(session: Session, segment: Segment, people: Collection[int] | None) -> dict[int, str]:
    """Return who of these people (or of everybody) may not be in the segment, and why."""
    if people is not None and not people:
        return {}
    purpose = consent.catalogue.purpose(session, segment.purpose)
    rows: Sequence[Any]
    if purpose.link_confidence == "deterministic":
        rows = permissions(session, segment.purpose, people)
    else:
        rows = session.execute(decision(people), parameters(purpose, people)).all()
    allowed = {row.person_id for row in rows if row.allowed}
    return {row.person_id: row.reason for row in rows if row.person_id not in allowed}


def list_members(
    session: Session, segment: Segment, *, after: str | None, limit: int
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return a page of members (profile_id, entered_at) and the cursor of the next page.

    Who withdrew since the segment was computed is passed over, so a page may be short.
    """
    rows = session.execute(
        statement("app.segments", "members"),
        {
            "segment_id": segment.id,
            "after": cursors.decode(after, int)[0] if after else 0,
            "limit": limit + 1,
        },
    ).all()
    following = cursors.encode(rows[limit - 1].person_id) if len(rows) > limit else None
    page = rows[:limit]
    return _usable(session, segment, page), following


def list_stays(
    session: Session, segment: Segment, *, after: str | None, limit: int
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return a page of stays (profile_id, entered_at, left_at, why_left), past ones included.

    Of people whose data may be used for the purpose now; so a page may be short.
    """
    person, entered_at = cursors.decode(after, int, str) if after else (0, "-infinity")
    rows = session.execute(
        statement("app.segments", "history"),
        {
            "segment_id": segment.id,
            "person": person,
            "entered_at": entered_at,
            "limit": limit + 1,
        },
    ).all()
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        following = cursors.encode(page[-1].person_id, page[-1].entered_at.isoformat())
    return _usable(session, segment, page), following


def _usable(session: Session, segment: Segment, page: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """Return the rows of people whose data may be used for the segment's purpose now."""
    decisions = permissions(session, segment.purpose, {row.person_id for row in page})
    allowed = {decision.person_id for decision in decisions if decision.allowed}
    return [row for row in page if row.person_id in allowed]


def size(session: Session, segment: Segment) -> int:
    """Return how many members a segment has."""
    query = sa.select(sa.func.count()).where(
        SegmentMember.segment_id == segment.id, SegmentMember.left_at.is_(None)
    )
    return session.scalar(query) or 0


def of_person(session: Session, person: int) -> list[sa.Row[Any]]:
    """Return the stays of a person: key, purpose, entered_at, left_at, why_left."""
    query = (
        sa.select(
            Segment.key,
            Segment.purpose,
            SegmentMember.entered_at,
            SegmentMember.left_at,
            SegmentMember.why_left,
        )
        .join(SegmentMember, SegmentMember.segment_id == Segment.id)
        .where(SegmentMember.person_id == person)
        .order_by(Segment.key, SegmentMember.entered_at)
    )
    return list(session.execute(query))
