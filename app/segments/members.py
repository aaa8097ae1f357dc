"""Segments and their members: who is in, since when, who came and who went."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.access import reads
from app.consents.permission import permissions
from app.db import statement
from app.errors import DefinitionInvalid, SegmentExists, SegmentNotFound
from app.profiles.conditions import SENT, pointed
from app.segments import lists, uses
from app.segments.definition import RULE, Listed, Rule, place, walk
from app.segments.tables import Segment, SegmentMember, SegmentVersion
from identity import graph

#: Words of the API that no segment can be called.
RESERVED = frozenset({"dependencies", "overlap", "preview"})
#: Made once: every step of the pipeline and every merge asks.
ALL = sa.select(Segment).where(uses.LIVE).order_by(Segment.key)


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


def create(
    session: Session, *, key: str, name: str, purpose: str, rule: dict[str, Any], by: str = ""
) -> Segment:
    """Create a segment; it is filled by `refresh`.

    Raises DefinitionInvalid, SegmentExists, PurposeNotFound.
    """
    consent.catalogue.purpose(session, purpose)
    uses.check(session, parse(rule), purpose)
    if key in RESERVED:
        raise DefinitionInvalid(f"#/key: {key} is a word of the API")
    if session.scalar(sa.select(Segment.id).where(Segment.key == key)):
        raise SegmentExists(key)
    segment = Segment(key=key, name=name, purpose=purpose, rule=rule, version=1)
    session.add(segment)
    session.flush()
    _keep(session, segment, by)
    return segment


def change(
    session: Session, segment: Segment, *, name: str, purpose: str, rule: dict[str, Any], by: str
) -> bool:
    """Change what a segment says, or take it out of the archive; say whether members may change.

    Another rule is another version; who is in by an earlier one stays, if it is met. The caller
    holds the segment's lock. Raises DefinitionInvalid.
    """
    if segment.purpose != purpose:
        raise DefinitionInvalid(
            f"#/purpose: {segment.key} serves {segment.purpose}; who was selected for one purpose"
            " is not taken for another: define a segment of another key"
        )
    uses.check(session, parse(rule), purpose, key=segment.key)
    changed = segment.rule != rule
    before = rule_of(segment)
    anew = changed or segment.archived_at is not None
    if changed or segment.name != name:
        segment.name, segment.rule, segment.version = name, rule, segment.version + 1
        _keep(session, segment, by)
        session.flush()
        if not any(isinstance(part, Listed) for part in walk(rule_of(segment))):
            lists.forget(session, segment, before)
    segment.archived_at = None
    session.flush()
    return anew


def _keep(session: Session, segment: Segment, by: str) -> None:
    session.add(
        SegmentVersion(
            segment_id=segment.id, version=segment.version, name=segment.name, rule=segment.rule,
            set_by=by,
        )
    )  # fmt: skip
    session.flush()


def versions(session: Session, segment: Segment) -> list[SegmentVersion]:
    """Return what a segment said, the last version first."""
    query = sa.select(SegmentVersion).where(SegmentVersion.segment_id == segment.id)
    return list(session.scalars(query.order_by(SegmentVersion.version.desc())))


def parse(rule: Any) -> Rule:
    """Return the rule that a client sends; raises DefinitionInvalid, which says where it is wrong.

    It is checked whole: also whether what it asks can be met at all.
    """
    try:
        return RULE.validate_python(rule, context=SENT)
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "rule", place)) from error


def find(session: Session, key: str, *, lock: bool = False) -> Segment:
    """Return a segment, archived or not, and locked to be changed; raises SegmentNotFound."""
    query = sa.select(Segment).where(Segment.key == key)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    segment = session.scalar(query)
    if segment is None:
        raise SegmentNotFound(key)
    return segment


def lock(session: Session, keys: Collection[str]) -> None:
    """Let nobody change these segments; in the order of `refresh`, against deadlocks."""
    query = sa.select(Segment.id).where(Segment.key.in_(keys)).order_by(Segment.id)
    session.execute(query.with_for_update())


def list_all(session: Session) -> list[Segment]:
    """Return all segments that are not archived, by key."""
    return list(session.scalars(ALL))


def archived(session: Session) -> list[Segment]:
    """Return the segments that are archived, by key."""
    return list(session.scalars(sa.select(Segment).where(~uses.LIVE).order_by(Segment.key)))


def stamp(session: Session, segment: Segment) -> None:
    """Note that a definition is another one now: the last thing that a transaction does to it.

    Stamps are in the order of commits: from here to its commit no other transaction gets one, or
    whoever reads by `updated_after` would pass over what began earlier and was committed later.
    """
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("segment.updated_at", 0))
    session.execute(sa.select(lock))
    # Of two looks at a clock that is set back meanwhile, too, the second is later.
    last = sa.select(sa.func.max(Segment.updated_at) + timedelta(microseconds=1)).scalar_subquery()
    now = session.scalar(sa.select(sa.func.greatest(sa.func.clock_timestamp(), last)))
    segment.updated_at = now or segment.updated_at
    session.flush()


def updated_after(session: Session, moment: datetime) -> list[Segment]:
    """Return the segments whose definition is new, changed or archived since, by key."""
    newer = sa.select(Segment).where(Segment.updated_at > moment)
    return list(session.scalars(newer.order_by(Segment.key)))


def archive(session: Session, segment: Segment, *, now: datetime) -> Delta:
    """End every stay and compute no more; who came and went is kept."""
    segment.archived_at = now
    segment.error = segment.failed_at = None
    return _end(session, segment, "segment_archived", now)


def empty(session: Session, segment: Segment, *, now: datetime) -> Delta:
    """End every stay, because the segment itself goes."""
    lists.forget(session, segment, rule_of(segment))
    return _end(session, segment, "segment_deleted", now)


def _end(session: Session, segment: Segment, why: str, now: datetime) -> Delta:
    ended = (
        sa.update(SegmentMember)
        .where(SegmentMember.segment_id == segment.id, SegmentMember.left_at.is_(None))
        .values(left_at=now, why_left=why)
        .returning(SegmentMember.person_id)
    )
    left = sorted(session.scalars(ended, execution_options={"synchronize_session": False}))
    segment.members = 0
    return Delta(segment.key, segment.purpose, (), tuple((person, why) for person in left))


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


def of_another_purpose(session: Session, keys: Collection[str], purpose: str) -> frozenset[str]:
    """Return which of these segments do not serve this purpose: their keys were made anew."""
    query = sa.select(Segment.key).where(Segment.key.in_(keys), Segment.purpose != purpose)
    return frozenset(session.scalars(query))


def page(session: Session, key: str, *, purpose: str, after: int, limit: int) -> list[int]:
    """Return the next members of a segment, by person; of one that is gone nobody.

    Nor of one that serves another purpose. Whether their data may be used is asked of nobody: that
    is the caller's to do.
    """
    mine = sa.select(Segment.id).where(Segment.key == key, Segment.purpose == purpose)
    segment = session.scalar(mine)
    bound = {"segment_id": segment, "after": after, "limit": limit}
    return [row.person_id for row in session.execute(statement("app.segments", "members"), bound)]


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
    reads.saw(session, allowed, purpose=segment.purpose)
    return [row for row in page if row.person_id in allowed]


def state(segment: Segment, waits: Sequence[str]) -> str:
    """Return `archived`, `error`, `waiting` for a computed trait, `computing` or `fresh`."""
    if segment.archived_at is not None:
        return "archived"
    if segment.error is not None:
        return "error"
    if waits:
        return "waiting"
    return "computing" if segment.refreshed_at is None else "fresh"


def forget(session: Session, people: Collection[int]) -> int:
    """Delete all stays of erased people; return how many. Locks the segments that they are in."""
    inside = sa.select(SegmentMember.segment_id).where(graph.among(SegmentMember.person_id, people))
    held = sa.select(Segment.id).where(Segment.id.in_(inside)).order_by(Segment.id)
    session.execute(held.with_for_update())
    bound = {"people": graph.array(people)}
    gone: int = session.execute(statement("app.segments", "forget"), bound).scalar_one()
    return gone
