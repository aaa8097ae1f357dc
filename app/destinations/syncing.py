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
from app.destinations import held, kinds, outbox
from app.destinations.deciding import Deciding, setup_of
from app.destinations.tables import Delivery, Destination, HeldRecord
from app.segments.members import find, list_members

#: Members looked at in one step.
PAGE = 1_000
#: Why somebody is in no more of whom it was not noted.
NOT_MET = "rule_no_longer_met"


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
        page, _ = list_members(session, find(session, key), after=None, limit=limit - looked)
        looked += len(page)
        records, unfit = deciding.preview([row.person_id for row in page], key)
        shown += kind.preview(setup, records)
        wrong += unfit
    return Preview(shown, wrong, looked)


def sync(session: Session, destination: Destination, *, full: bool, now: datetime) -> int:
    """Queue what brings a receiver up to date; return how many messages.

    Who is in a segment and was not told, who was told and is in no more, and of who is in, what
    differs from what was sent last; `full` sends everything anew. What differs is decided when it
    is sent, so a sync of what is up to date sends nothing.
    """
    if full:
        held.forget_what_was_sent(session, destination.id)
    queued = 0
    for key in destination.segments:
        inside: set[int] = set()
        after = None
        while True:
            page, after = list_members(session, find(session, key), after=after, limit=PAGE)
            people = [row.person_id for row in page]
            inside |= set(people)
            queued += _missing(session, destination, key, people, full=full, now=now)
            if after is None:
                break
        queued += _left(session, destination, key, inside, now)
    if not full or kinds.of(destination.kind).holds_records:
        queued += _differing(session, destination, now)
    return queued


def replay(
    session: Session,
    destination: Destination,
    *,
    messages: Collection[UUID] | None = None,
    now: datetime,
) -> int:
    """Send again what failed, all or these messages; return how many.

    What a later message has overtaken stays as it is. The message ids are the same as before.
    """
    rows = session.execute(
        statement("app.destinations", "replay"),
        {
            "destination": destination.id,
            "now": now,
            "messages": None if messages is None else [str(one) for one in messages],
        },
    )
    return len(rows.all())


def _missing(
    session: Session,
    destination: Destination,
    key: str,
    people: Sequence[int],
    *,
    full: bool,
    now: datetime,
) -> int:
    """Queue the members that were never told, or of receivers that keep no record all of them."""
    again = full and not kinds.of(destination.kind).holds_records
    waits = _last(session, destination, key, people)
    new = [p for p in people if waits.get(p) != outbox.ENTERED or again]
    allowed = outbox.allowed_people(
        session, destination.purpose, new, now=now, tcf_vendor=destination.tcf_vendor
    )
    rows: list[outbox.Message] = [(p, outbox.ENTERED, {}) for p in new if p in allowed]
    outbox.queue(session, destination, key, rows, now)
    return len(rows)


def _left(
    session: Session, destination: Destination, key: str, inside: set[int], now: datetime
) -> int:
    """Queue who was told of as a member and is none: it was missed, or the segment replaced."""
    last = _last(session, destination, key, None)
    gone = sorted(p for p, kind in last.items() if kind == outbox.ENTERED and p not in inside)
    _, denied = outbox.decided(
        session, destination.purpose, gone, now=now, tcf_vendor=destination.tcf_vendor
    )
    rows: list[outbox.Message] = [
        (p, outbox.EXITED, {"reason": f"consent:{denied[p]}" if p in denied else NOT_MET})
        for p in gone
    ]
    outbox.queue(session, destination, key, rows, now)
    return len(rows)


def _last(
    session: Session, destination: Destination, key: str, people: Collection[int] | None
) -> dict[int, str]:
    """Return what each was last told of as: entered or exited."""
    query = (
        sa.select(Delivery.person_id, Delivery.type)
        .ext(distinct_on(Delivery.person_id))
        .where(
            Delivery.destination_id == destination.id,
            Delivery.state.in_(["waiting", "delivered"]),
            Delivery.type.in_([outbox.ENTERED, outbox.EXITED]),
            Delivery.payload["segment"].astext == key,
        )
        .order_by(Delivery.person_id, Delivery.id.desc())
    )
    if people is not None:
        query = query.where(Delivery.person_id.in_(people))
    return {person: kind for person, kind in session.execute(query)}


def _differing(session: Session, destination: Destination, now: datetime) -> int:
    """Queue a look at everybody of whom a record is held."""
    query = sa.select(HeldRecord.person_id, HeldRecord.profile_id).where(
        HeldRecord.destination_id == destination.id,
        sa.func.cardinality(HeldRecord.segments) > 0,
    )
    whom = [(destination.id, row.person_id, row.profile_id) for row in session.execute(query)]
    outbox.look_again(session, whom, now=now)
    return len(whom)
