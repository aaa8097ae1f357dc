"""What operators ask of a destination: how it goes, a dry run, a sync, a replay."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.db import statement
from app.destinations import kinds
from app.destinations.deciding import Deciding
from app.destinations.opened import setup_of
from app.destinations.tables import Destination, Sync
from app.errors import SegmentNotFound
from app.profiles import paths, rule_news
from app.segments.members import find, list_members
from app.segments.tables import Segment

#: People, or messages that failed, of one portion.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class State:
    """How it goes at a destination."""

    waiting: int
    #: How long the message that waits longest has waited, in seconds; None when none does.
    backlog_seconds: float | None
    failed: int
    #: People of whom the receiver holds a record, or was told as members.
    held: int
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent, of whom nothing would and why, and how many were looked at."""

    would_send: list[Any]
    not_sent: list[str]
    members: int


def states(session: Session, destinations: Sequence[Destination]) -> dict[int, State]:
    """Return how it goes at each of these."""
    ids = [one.id for one in destinations]
    rows = session.execute(statement("app.destinations", "state"), {"ids": ids}).all()
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return {
        row.id: State(
            row.waiting,
            (now - row.waiting_since).total_seconds() if row.waiting_since else None,
            row.failed,
            row.held,
            row.delivered_at,
        )
        for row in rows
    }


def preview(session: Session, destination: Destination, *, limit: int) -> Preview:
    """Return what the first members of each segment would be sent; sends and notes nothing.

    Denials are noted, as for every decision. Personal data is in it: what the receiver would see.
    """
    kind = kinds.of(destination.kind)
    setup = setup_of(destination, kind)
    deciding = Deciding(session, destination, kind, setup)
    shown: list[Any] = []
    wrong: list[str] = []
    looked = 0
    for key in destination.segments:
        if looked >= limit:
            break
        segment = _existing(session, key, destination.purpose)
        if segment is None:
            continue
        page, _ = list_members(session, segment, after=None, limit=limit - looked)
        looked += len(page)
        records, unfit = deciding.preview([row.person_id for row in page], key)
        shown += kind.preview(setup, records)
        wrong += unfit
    return Preview(shown, wrong, looked)


def request(session: Session, destination: Destination, what: str = "changes") -> Sync:
    """Have a receiver brought up to date, from this transaction's commit on; return what is asked.

    Who is in a segment and was not told, who was told and is in no more, and of who is in, what
    differs from what was sent last; `everything` sends all anew. The worker goes through them in
    portions (`portions.py`). What differs is decided when it is sent, so a sync of what is up to
    date sends nothing. One that was asked for and has not begun will do.
    """
    covers = [what, "everything"] if what == "changes" else [what]
    waiting = sa.select(Sync).where(
        Sync.destination_id == destination.id, Sync.begun_at.is_(None), Sync.what.in_(covers)
    )
    found = session.scalar(waiting.order_by(Sync.id).limit(1).with_for_update())
    if found is None:
        stage = "failed" if what == "failed" else "members"
        found = Sync(destination_id=destination.id, what=what, stage=stage)
        session.add(found)
        session.flush()
    return found


def follow_trait(session: Session, key: str) -> None:
    """Bring receivers of a trait up to date, as another of its values may survive for anybody.

    And whoever keeps a copy of profiles by the feed.
    """
    rule_news.ask(session, key)
    query = sa.select(Destination).where(Destination.removed_at.is_(None))
    for destination in session.scalars(query.order_by(Destination.id)):
        mapped = {source["trait"] for source in destination.mapping.values() if "trait" in source}
        if any(key in (name, *(paths.split(name) or ())[:1]) for name in mapped):
            request(session, destination)


def follow_versions(session: Session, keys: Collection[str]) -> None:
    """Bring receivers up to date that need one of these purposes, of which a version has begun.

    It may ask for more, or less, of those of whom nothing else is told: of adults alone, say.
    Segments look through everybody, for their own purpose; for others that are needed nobody does.
    """
    needs = sa.or_(
        Destination.purpose.in_(keys),
        Destination.also_for.overlap(sa.cast(sorted(keys), Destination.also_for.type)),
    )
    query = sa.select(Destination).where(Destination.removed_at.is_(None), needs)
    for destination in session.scalars(query.order_by(Destination.id)) if keys else ():
        request(session, destination)


def follow_vendors(session: Session) -> None:
    """Bring receivers up to date that are vendors: a list came by which their ids are known."""
    here = Destination.removed_at.is_(None), Destination.tcf_vendor.is_not(None)
    for destination in session.scalars(sa.select(Destination).where(*here)):
        request(session, destination)


def syncs(session: Session, destinations: Sequence[Destination]) -> dict[int, Sync]:
    """Return how far the sync of each of these is that is under way, or else the last one was."""
    query = (
        sa.select(Sync)
        .ext(distinct_on(Sync.destination_id))
        .where(Sync.destination_id.in_([one.id for one in destinations]))
        .order_by(Sync.destination_id, Sync.ended_at.is_not(None), Sync.id)
    )
    return {one.destination_id: one for one in session.scalars(query)}


def shown(sync: Sync, destination: Destination) -> dict[str, Any]:
    """Return how far a sync is, as operators see it."""
    at_segments = sync.ended_at is None and sync.stage in ("members", "gone")
    return {
        "what": sync.what,
        "state": "done" if sync.ended_at else "running" if sync.begun_at else "waiting",
        "segment": destination.segments[sync.place] if at_segments else None,
        "people": sync.people,
        "queued": sync.queued,
        "asked_at": sync.asked_at.isoformat(),
        "ended_at": sync.ended_at.isoformat() if sync.ended_at else None,
        "error": sync.error,
    }


def replay(
    session: Session,
    destination: Destination,
    *,
    messages: Collection[UUID] | None = None,
    now: datetime,
) -> int:
    """Send again what failed, all or these messages; return how many are queued at once.

    What a later message has overtaken stays as it is. The message ids are the same as before. Of
    more than a portion the worker does the rest.
    """
    rows = replayed(session, destination.id, after=0, messages=messages, now=now)
    if len(rows) == PAGE and messages is None:
        rest = request(session, destination, "failed")
        rest.after = max(rows)
    return len(rows)


def replayed(
    session: Session,
    destination_id: int,
    *,
    after: int,
    messages: Collection[UUID] | None = None,
    now: datetime,
) -> list[int]:
    """Send again the first that failed after this message, a portion at most; return which."""
    rows = session.scalars(
        statement("app.destinations", "replay"),
        {
            "destination": destination_id,
            "after": after,
            "limit": PAGE,
            "now": now,
            "messages": None if messages is None else [str(one) for one in messages],
        },
    )
    return sorted(rows)


def _existing(session: Session, key: str, purpose: str) -> Segment | None:
    """Return a segment; None for one that was deleted, or made anew for another purpose."""
    try:
        found = find(session, key)
    except SegmentNotFound:
        return None
    return found if found.purpose == purpose else None
