"""Delivers what waits in the outbox: claim, decide once more, send, note the result."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import work
from app.consents import in_use
from app.db import Sessions, statement
from app.destinations import held, kinds, moving, outbox, places
from app.destinations.deciding import NOT_ALLOWED, Deciding
from app.destinations.held import Held
from app.destinations.jobs import Ended, Job
from app.destinations.kind import Kind, Outcome, Setup
from app.destinations.messages import members_of
from app.destinations.opened import setup_of
from app.destinations.resting import rest
from app.destinations.tables import Delivery, Destination
from app.destinations.wire import NOT_TRIED, Wire
from app.segments.doubts import UNTOLD

log = logging.getLogger("parcours.destinations")

#: Waits after each failed attempt, in seconds; 75 hours in all (Standard Webhooks, operational
#: considerations).
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: How long a message is tried whose receiver keeps saying that it is too early.
LONGEST = timedelta(seconds=sum(RETRY_SECONDS))
#: How long a destination and its claimed messages are ours; after a crash somebody else takes them.
LEASE = timedelta(seconds=120)
#: How long one batch may be sent, in seconds: well within the lease.
SENDING = 45.0
#: What must be left of the lease when a batch begins to be sent.
ROOM = timedelta(seconds=2 * SENDING)
#: Where requests are paced, a batch holds what goes out in half of that, a request a record.
HALF = SENDING / 2
#: Identifiers that are held in use by one batch, unless one person alone has more.
MOST_HELD = 2_000
#: Who waited for an address that became free and are looked at: one of them has it then.
MOST_WAITING = 100
#: How long a destination rests whose messages all wait for others, or that cannot be used.
REST = timedelta(seconds=1)
#: How soon it is looked again whether a computed trait that is mapped is there.
LATER = timedelta(seconds=10)
BROKEN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Claim:
    destination_id: int
    kind: Kind
    rate: float | None
    rows: Sequence[sa.Row[Any]]
    until: datetime


def deliver(sessions: Sessions, client: httpx.Client) -> int:
    """Send a batch of what is due to one destination; return how many messages were tried.

    Per destination and person in order: a message waits until those before it are done. They are
    claimed in a transaction of its own that ends before the network is touched, since a long one
    would hold back every reader of the event stream. From the decision to the receiver's answer
    the identifiers are in use: who withdraws meanwhile is answered after it.
    """
    claim = _claim(sessions)
    if claim is None:
        return 0
    claim, concerned = _bounded(sessions, claim)
    with in_use.held(sessions, concerned):
        try:
            decided = _decided(sessions, claim, concerned)
        except Exception as error:  # its key, its settings, its purpose: no other waits for it
            _rest(sessions, claim, error)
            return len(claim.rows)
        if decided is None:
            return len(claim.rows)
        setup, jobs, ended = decided
        wire = Wire(client, seconds=SENDING, rate=claim.rate)
        outcomes = _send(claim.kind, setup, jobs, wire)
    with sessions.begin() as session:
        # After who removes it, or before: that drops what waits.
        here = {"read": True, "key_share": True}
        destination = session.get_one(Destination, claim.destination_id, with_for_update=here)
        if destination.removed_at is not None:  # what was taken meanwhile is on record as such
            for job, outcome in zip(jobs, outcomes, strict=True):
                if outcome.state == "taken":
                    _end(session, job.row.id, "delivered", outcome.reason or None, outcome.status)
            return len(claim.rows)
        for one in ended:
            _end_unsent(session, one)
        # By now they may allow it again: the worker looks, once this is on record.
        work.touch(
            session,
            ((one.row.person_id, UNTOLD, {}) for one in ended
             if one.row.type == outbox.ENTERED and one.reason == NOT_ALLOWED),
        )  # fmt: skip
        now: dict[int, Held | None] = {}
        for job, outcome in zip(jobs, outcomes, strict=True):
            _note(session, claim.destination_id, job, outcome, now)
        _free(session, claim.destination_id, places.freed(jobs, now))
        pause, destination.busy = rest(outcomes, destination.busy)
        session.flush()
        _next_turn(session, claim.destination_id, timedelta(seconds=max(pause, wire.pause)))
    return len(claim.rows)


def _decided(
    sessions: Sessions, claim: _Claim, concerned: set[int]
) -> tuple[Setup, list[Job], list[Ended]] | None:
    """Decide what of a batch is sent, and note it; None where none of it is to be sent now.

    It was removed or switched off meanwhile; or who held us up left too little of the lease to send
    and note it before somebody else takes the same messages.
    """
    with sessions.begin() as session:
        # Shared with whoever queues, not with who would move it before records are begun.
        here = {"read": True}
        destination = session.get(Destination, claim.destination_id, with_for_update=here)
        if destination is None or destination.removed_at is not None:
            return None
        if not destination.enabled or datetime.now(UTC) > claim.until - ROOM:
            for row in claim.rows:
                _end_unsent(session, Ended(row, "again"))
            return None
        setup = setup_of(destination, claim.kind)
        deciding = Deciding(session, destination, claim.kind, setup)
        jobs, ended = deciding.decide(claim.rows, concerned)
        leaving = [
            {"id": job.row.id, "told": job.told.hex(), "message_id": job.record.message_id}
            for job in jobs
        ]
        if leaving:  # on record before it does: we may not come back
            rows = {"rows": msgspec.json.encode(leaving).decode()}
            session.execute(statement("app.destinations", "leaving"), rows)
        return setup, jobs, ended


def _claim(sessions: Sessions) -> _Claim | None:
    """Take a destination that has something due, and what is due of it."""
    while True:
        now = datetime.now(UTC)
        with sessions.begin() as session:
            chosen = session.execute(
                statement("app.destinations", "choose"), {"now": now, "lease": now + LEASE}
            ).one_or_none()
            if chosen is None:
                return None
            kind = kinds.KINDS.get(chosen.kind)
            if kind is None:  # of a newer version: its messages wait
                _next_turn(session, chosen.id, BROKEN)
                continue
            rate = chosen.rate or kind.rate
            rows = session.execute(
                statement("app.destinations", "claim"),
                {
                    "destination": chosen.id, "now": now, "lease": now + LEASE,
                    "limit": min(kind.batch, max(1, int(rate * HALF))) if rate else kind.batch,
                },
            ).all()  # fmt: skip
            if rows:
                listed = sorted(rows, key=lambda row: row.id)
                return _Claim(chosen.id, kind, rate, listed, now + LEASE)
            _next_turn(session, chosen.id, REST)


def _bounded(sessions: Sessions, claim: _Claim) -> tuple[_Claim, set[int]]:
    """Return what of a claim is sent now, and the identifiers to hold; the rest is due again.

    Each identifier that is held is a lock, and the server has room for some thousands (6,400 with
    its defaults): a batch of people with very many must not ask for more.
    """
    now: list[sa.Row[Any]] = []
    concerned: set[int] = set()
    with sessions.begin() as session:
        members = members_of(session, claim.rows)
        for row in claim.rows:
            more = concerned | members.get(row.person_id, set())
            if now and len(more) > MOST_HELD:
                _end_unsent(session, Ended(row, "again"))
                continue
            now.append(row)
            concerned = more
    return replace(claim, rows=now), concerned


def _send(kind: Kind, setup: Setup, jobs: Sequence[Job], wire: Wire) -> list[Outcome]:
    """Send; a kind that fails itself has sent who knows what, so all of it is sent again.

    By halves, so that a record of which it can make nothing holds up no other.
    """
    if not jobs:
        return []
    try:
        return moving.send(kind, setup, jobs, wire)
    except moving.Miscounted as error:
        reason = f"{kind.name}: {error}"
    except Exception as error:
        if len(jobs) > 1:
            middle = len(jobs) // 2
            halves = (jobs[:middle], jobs[middle:])
            return [one for half in halves for one in _send(kind, setup, half, wire)]
        reason = f"{kind.name}: {type(error).__name__}"
        log.debug("a batch could not be sent", exc_info=error)
    log.error("destination %d: %s", setup.id, reason)
    return [Outcome("again", reason)] * len(jobs)


def _rest(sessions: Sessions, claim: _Claim, error: Exception) -> None:
    """Leave a destination alone that cannot be used as it is; no attempt is counted."""
    reason = f"the destination cannot be used: {type(error).__name__}"
    log.error("destination %d: %s", claim.destination_id, reason)
    log.debug("destination %d", claim.destination_id, exc_info=error)
    with sessions.begin() as session:
        ids = [row.id for row in claim.rows]
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id.in_(ids))
            .values(
                due_at=datetime.now(UTC) + BROKEN, attempts=Delivery.attempts - 1, reason=reason
            )
        )
        _next_turn(session, claim.destination_id, BROKEN)


def _next_turn(session: Session, destination_id: int, pause: timedelta) -> None:
    session.execute(
        sa.update(Destination)
        .where(Destination.id == destination_id)
        .values(not_before=datetime.now(UTC) + pause)
    )


def _end_unsent(session: Session, ended: Ended) -> None:
    """Note what is not sent; whoever has changed under our hands is left to the next round."""
    if ended.state == "again":
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == ended.row.id)
            .values(due_at=datetime.now(UTC), attempts=Delivery.attempts - 1)
        )
    elif ended.state == "later":
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == ended.row.id)
            .values(
                due_at=datetime.now(UTC) + LATER, attempts=Delivery.attempts - 1,
                reason=ended.reason,
            )
        )  # fmt: skip
    else:
        _end(session, ended.row.id, ended.state, ended.reason)


def _note(
    session: Session, destination_id: int, job: Job, outcome: Outcome, now: dict[int, Held | None]
) -> None:
    """Write down the result: delivered, to be tried again, given up, or destination gone.

    And in `now`, by message, what the receiver holds since.
    """
    row, status = job.row, outcome.status
    if outcome.state == "taken":
        now[row.id] = _hold(session, destination_id, job, outcome)
        state = "failed" if job.failed else "delivered"
        _end(session, row.id, state, job.failed or outcome.reason or None, status)
    elif outcome.state == "refused":
        _fail(session, destination_id, job, outcome, now)
    elif outcome.state == "gone":
        _later(session, row, outcome, 0.0)  # and waits until it is enabled again
        session.execute(
            sa.update(Destination)
            .where(Destination.id == destination_id)
            .values(enabled=False, why_disabled=outcome.reason)
        )
    elif (wait := _wait(row, outcome)) is None:
        given_up = replace(outcome, reason=f"given up: {outcome.reason}")
        _fail(session, destination_id, job, given_up, now)
    else:
        _later(session, row, outcome, wait)


def _fail(
    session: Session, destination_id: int, job: Job, outcome: Outcome, now: dict[int, Held | None]
) -> None:
    """Note what is given up. Who left has left all the same: they are not told of any more.

    Who is in is looked at with the next change of theirs. What was refused by a receiver that knows
    people by address has not been written: it is taken back from no record of somebody else's.
    """
    row = job.row
    _end(session, row.id, "failed", outcome.reason, outcome.status)
    if row.type == outbox.EXITED and job.then is not None:
        now[row.id] = job.then
        held.left(session, destination_id, row.profile_id, job.then)
    elif job.record.intent == "hold" and job.before is not None and job.then is not None:
        refused = outcome.state == "refused" and job.then.key is not None
        known = job.before if refused or job.begun is None else job.begun
        absent = job.before.absent or job.before.remote is None
        found = replace(known, segments=job.then.segments, digest=None, lost=None, absent=absent,
                        key=None if absent else known.key)  # fmt: skip
        now[row.id] = found
        held.note(session, destination_id, row, found, at=datetime.now(UTC))


def _later(session: Session, row: sa.Row[Any], outcome: Outcome, wait: float) -> None:
    too_many = outcome.status == 429 and outcome.retry_after_seconds is not None
    early = too_many or outcome.reason == NOT_TRIED
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id == row.id)
        .values(
            due_at=datetime.now(UTC) + timedelta(seconds=wait),
            attempts=Delivery.attempts - int(early),
            reason=outcome.reason,
            last_status=outcome.status,
        )
    )


def _wait(row: sa.Row[Any], outcome: Outcome) -> float | None:
    """Return after how many seconds to try again; None when it was tried long enough.

    A receiver that says when it will take more (429) is believed, and that is no failed attempt.
    """
    asked = outcome.retry_after_seconds or 0.0
    if outcome.reason == NOT_TRIED:
        return asked
    if outcome.status == 429 and outcome.retry_after_seconds is not None:
        return None if datetime.now(UTC) - row.created_at > LONGEST else asked
    if row.attempts > len(RETRY_SECONDS):
        return None
    wait = RETRY_SECONDS[row.attempts - 1] * random.uniform(1, 1.2)  # noqa: S311  # jitter
    return max(wait, asked)


def _hold(session: Session, destination_id: int, job: Job, outcome: Outcome) -> Held | None:
    """Note and return what the receiver holds from now on, where it keeps a record."""
    if job.record.intent == "forget" or job.then is None:
        if job.record.intent == "forget" or outcome.remote == "":
            held.drop(session, destination_id, job.row.profile_id)
        return None
    gone = outcome.remote == ""
    remote = None if gone else outcome.remote or job.then.remote
    then = replace(job.then, remote=remote, also=places.after(job, outcome, remote))
    if gone and not then.also and not then.absent:
        held.drop(session, destination_id, job.row.profile_id)
        return None
    now = datetime.now(UTC)
    displaced = held.put(session, destination_id, job.row, then, at=now)
    again = [(destination_id, person, profile) for person, profile in displaced]
    outbox.look_again(session, again, now=now)
    return then


def _free(session: Session, destination_id: int, keys: set[bytes]) -> None:
    """Look at some who wait for an address by which nobody is known any more."""
    if keys:
        whom = held.waiting_for(session, destination_id, keys, limit=MOST_WAITING)
        outbox.look_again(session, whom, now=datetime.now(UTC))


def _end(
    session: Session,
    delivery: int,
    state: str,
    reason: str | None,
    status: int | None = None,
) -> None:
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery)
        .values(state=state, reason=reason, last_status=status, ended_at=sa.func.now())
    )
