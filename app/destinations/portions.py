"""Takes syncs through everybody in portions, each a transaction with the mark of how far it is.

Whatever kills the worker, the next one goes on behind the last portion, and nobody is told twice. A
portion holds the segment's lock, as every refresh of it does: whom it finds in is in until it
commits, and who comes or goes afterwards is told by the refresh (`outbox.enqueue`), which sees what
the portion has queued.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.db import Sessions, statement
from app.destinations import held, kinds, outbox, syncing
from app.destinations.tables import Delivery, Destination, HeldRecord, Sync
from app.segments import members as segments

log = logging.getLogger("parcours.destinations")

#: Why somebody is in no more of whom it was not noted.
NOT_MET = "rule_no_longer_met"
#: How long a sync rests whose portion failed.
REST = timedelta(seconds=60)


def advance(sessions: Sessions) -> bool:
    """Do the next portion of the sync whose turn it is; say whether there was one."""
    with sessions() as session:
        row = session.execute(statement("app.destinations", "next_sync")).one_or_none()
    if row is None:
        return False
    try:
        with sessions.begin() as session:
            _portion(session, row)
    except Exception as error:  # its purpose is gone, or its kind of a newer version
        why = type(error).__name__
        log.error("sync of destination %d: %s", row.destination_id, why)
        log.debug("sync of destination %d", row.destination_id, exc_info=error)
        with sessions.begin() as session:
            rest = sa.update(Sync).where(Sync.id == row.id)
            session.execute(rest.values(error=why, due_at=datetime.now(UTC) + REST))
    return True


def run(session: Session) -> None:
    """Do all portions of all syncs that are due, in this transaction."""
    while row := session.execute(statement("app.destinations", "next_sync")).one_or_none():
        _portion(session, row)


def _portion(session: Session, row: sa.Row[tuple[int, int, str, int]]) -> None:
    """Do one portion: locks the segment, then the destination against its removal, then the sync.

    Where another worker was faster nothing is done.
    """
    destination = session.get(Destination, row.destination_id)
    if destination is None or destination.removed_at is not None:
        return
    if row.stage in ("members", "gone"):
        segments.lock(session, [destination.segments[row.place]])
    here = {"read": True, "key_share": True}
    session.refresh(destination, with_for_update=here)
    sync = session.get(Sync, row.id, with_for_update=True, populate_existing=True)
    if sync is None or (sync.stage, sync.place) != (row.stage, row.place) or sync.ended_at:
        return
    if destination.removed_at is not None:
        return
    now = datetime.now(UTC)
    last, people, queued = _STAGES[sync.stage](session, destination, sync, now)
    sync.begun_at = sync.begun_at or now
    sync.people, sync.queued = sync.people + people, sync.queued + queued
    sync.due_at, sync.error = sa.func.clock_timestamp(), None
    if last is not None:
        sync.after = last
    else:
        _next_stage(session, destination, sync)
    session.flush()


def _next_stage(session: Session, destination: Destination, sync: Sync) -> None:
    """Go on with what comes next; at the end those that ended before are forgotten."""
    sync.after = 0
    if sync.stage == "members":
        sync.stage = "gone"
    elif sync.stage == "gone" and sync.place + 1 < len(destination.segments):
        sync.stage, sync.place = "members", sync.place + 1
    elif sync.stage == "gone" and not _tells_anew(destination, sync):
        sync.stage = "held"
    else:
        sync.ended_at = sa.func.clock_timestamp()
        session.execute(
            sa.delete(Sync).where(Sync.destination_id == destination.id, Sync.id < sync.id)
        )


#: Whose id was last, or None at the end; how many were looked at, and how many messages queued.
Portion = tuple[int | None, int, int]


def _members(session: Session, destination: Destination, sync: Sync, now: datetime) -> Portion:
    """Queue the members that were never told, or of receivers that keep no record all of them."""
    key = destination.segments[sync.place]
    page = segments.page(
        session, key, purpose=destination.purpose, after=sync.after, limit=syncing.PAGE
    )
    again = _tells_anew(destination, sync)
    last = _last(session, destination, key, page)
    unheld = _unheld(session, destination, key, [p for p in page if last.get(p) == outbox.ENTERED])
    new = [p for p in page if last.get(p) != outbox.ENTERED or again or p in unheld]
    allowed = outbox.allowed_people(
        session, destination.purpose, new, now=now,
        tcf_vendor=destination.tcf_vendor, also_for=destination.also_for,
    )  # fmt: skip
    rows: list[outbox.Message] = [(p, outbox.ENTERED, {}) for p in new if p in allowed]
    outbox.queue(session, destination, key, rows, now)
    return _end(page), len(page), len(rows)


def _gone(session: Session, destination: Destination, sync: Sync, now: datetime) -> Portion:
    """Queue who was told of as a member and is none: it was missed, or the segment replaced."""
    key = destination.segments[sync.place]
    listed = session.execute(
        statement("app.destinations", "gone"),
        {
            "destination": destination.id, "segment": key, "purpose": destination.purpose,
            "after": sync.after, "limit": syncing.PAGE,
        },
    ).all()  # fmt: skip
    gone = [row.person_id for row in listed if row.gone]
    _, denied = outbox.decided(
        session, destination.purpose, gone, now=now,
        tcf_vendor=destination.tcf_vendor, also_for=destination.also_for,
    )  # fmt: skip
    rows: list[outbox.Message] = [
        (p, outbox.EXITED, {"reason": f"consent:{denied[p]}" if p in denied else NOT_MET})
        for p in gone
    ]
    outbox.queue(session, destination, key, rows, now)
    return _end([row.person_id for row in listed]), 0, len(rows)


def _held(session: Session, destination: Destination, sync: Sync, now: datetime) -> Portion:
    """Queue a look at everybody of whom a record is held; a full sync forgets what was sent.

    Not of whom one waits that nobody has begun to send: it is decided when it is.
    """
    query = sa.select(HeldRecord).where(
        HeldRecord.destination_id == destination.id, HeldRecord.id > sync.after
    )
    listed = session.scalars(query.order_by(HeldRecord.id).limit(syncing.PAGE)).all()
    if sync.what == "everything":
        held.forget_what_was_sent(session, [row.id for row in listed])
    followed = {row.person_id: row.profile_id for row in listed if row.segments}
    waiting = sa.select(Delivery.person_id).where(
        Delivery.destination_id == destination.id,
        Delivery.person_id.in_(followed),
        Delivery.state == "waiting",
        Delivery.attempts == 0,
        Delivery.type.in_([outbox.ENTERED, outbox.UPDATED]),
    )
    covered = set(session.scalars(waiting.with_for_update(skip_locked=True)))
    whom = [(destination.id, p, profile) for p, profile in followed.items() if p not in covered]
    outbox.look_again(session, whom, now=now)
    return _end([row.id for row in listed]), 0, len(whom)


def _failed(session: Session, destination: Destination, sync: Sync, now: datetime) -> Portion:
    """Send again what failed."""
    rows = syncing.replayed(session, destination.id, after=sync.after, now=now)
    return _end(rows), len(rows), len(rows)


def _tells_anew(destination: Destination, sync: Sync) -> bool:
    """Say whether all members are told of anew, so that no look at what is held is needed."""
    return sync.what == "everything" and not kinds.of(destination.kind).holds_records


def _end(page: Sequence[int]) -> int | None:
    return page[-1] if len(page) == syncing.PAGE else None


def _last(
    session: Session, destination: Destination, key: str, people: Collection[int]
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
            Delivery.person_id.in_(people),
        )
        .order_by(Delivery.person_id, Delivery.id.desc())
    )
    return {person: kind for person, kind in session.execute(query)}


def _unheld(
    session: Session, destination: Destination, key: str, people: Collection[int]
) -> set[int]:
    """Return of whom nothing is held as a member, or waits to be sent, although they were told of.

    At a receiver that keeps records: of who could be made no record of for a while, by a version
    before this was noted.
    """
    if not kinds.of(destination.kind).holds_records:
        return set()
    held_of = sa.select(HeldRecord.person_id).where(
        HeldRecord.destination_id == destination.id,
        HeldRecord.person_id.in_(people),
        sa.literal(key) == sa.any_(HeldRecord.segments),
    )
    waiting = sa.select(Delivery.person_id).where(
        Delivery.destination_id == destination.id,
        Delivery.person_id.in_(people),
        Delivery.state == "waiting",
    )
    return set(people) - set(session.scalars(held_of.union_all(waiting)))


_STAGES = {"members": _members, "gone": _gone, "held": _held, "failed": _failed}
