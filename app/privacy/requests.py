"""Requests of data subjects: opening, extending, refusing, closing, and what happened to each."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA
from sqlalchemy.orm import Session

from app.errors import PrivacyRequestInvalid, PrivacyRequestNotFound, PrivacyRequestState
from app.privacy import asked, clock, words
from app.privacy.subject import Subject
from app.privacy.tables import (
    PrivacyCheck,
    PrivacyEvent,
    PrivacyRequest,
    PrivacyTask,
    ProcessorRequest,
)
from app.settings import Settings
from app.suppression import gate
from consent import restrictions
from consent.ledger import statements

KINDS = (
    "access", "portability", "erasure", "rectification", "restriction", "objection",
    "withdraw_all", "explain",
)  # fmt: skip
#: A request goes this way; from each it can be refused, revoked or found to concern nobody.
RECEIVED, AWAITING, VERIFIED = "received", "awaiting_identity", "verified"
REVIEW, EXECUTING, RESPONDED, CLOSED = "review", "executing", "responded", "closed"
REFUSED, PARTLY, REVOKED = "refused", "partially_met", "revoked_by_subject"
NO_MATCH, DUPLICATE, FAILED = "no_match", "duplicate_of", "failed"
ENDED = (CLOSED, REFUSED, PARTLY, REVOKED, NO_MATCH, DUPLICATE, FAILED)
#: What was received longer ago is a mistake.
OLDEST = timedelta(days=3_650)
#: States of a task in which nothing is left to be done.
FINAL = ("done", "not_present", "retained", "not_supported")


def working_days(settings: Settings) -> clock.Calendar:
    """Return the calendar of this installation."""
    days = (part.strip() for part in settings.holidays.split(","))
    return clock.Calendar(
        ZoneInfo(settings.privacy_time_zone), frozenset(date.fromisoformat(d) for d in days if d)
    )


def open_(
    session: Session,
    settings: Settings,
    *,
    kind: str,
    identifiers: Collection[tuple[str, str]],
    by: str,
    now: datetime,
    regime: str = clock.GDPR,
    attested: str | None = None,
    received_at: datetime | None = None,
    details: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    request_id: UUID | None = None,
) -> PrivacyRequest:
    """Open a request about the person of these canonical identifiers.

    `attested` is how an authenticated client knows that it is the person; without it the person
    has to show control of every identifier first. What asks for nothing that an open request does
    not ask for ends at once as its duplicate; what came by a `protocol` never does, since whoever
    sent it waits for their own answer. Raises PrivacyRequestInvalid, SuppressionKeyUnusable.
    """
    if kind not in KINDS or regime not in clock.REGIMES or not identifiers:
        raise PrivacyRequestInvalid("it needs a known kind and regime, and an identifier")
    if attested is not None and not asked.says(attested):
        raise PrivacyRequestInvalid("attested says how you know that it is the person")
    details = {name: said for name, said in (details or {}).items() if said is not None}
    asked.check(session, kind, details)
    received = received_at or now
    if not now - OLDEST <= received <= now:
        raise PrivacyRequestInvalid("it was received in the last years, and not in the future")
    ring = gate.keys_or_new()
    named = sorted(set(identifiers))
    refs = [ring.newest.ref(*identifier) for identifier in named]
    first = None
    if protocol is None:
        one_at_a_time(session)
        spelt = [frozenset(ring.refs(*identifier)) for identifier in named]
        first = _open_like(session, kind, spelt, details, attested=attested is not None)
    request = PrivacyRequest(
        id=request_id or uuid4(),
        kind=kind,
        regime=regime,
        state=RECEIVED,
        subject=None if first else Subject(tuple(named), ()).as_json(),
        refs=refs,
        details=details,
        protocol=dict(protocol) if protocol else None,
        opened_by=by,
        received_at=received,
        due_at=clock.due(received, regime, working_days(settings)),
        duplicate_of=first,
    )
    session.add(request)
    session.flush()
    note(session, request, "received", by=by, now=now, details={"kind": kind, "regime": regime})
    if first:
        end(session, request, DUPLICATE, by=by, now=now)
    elif attested:
        attest(session, request, how=attested, by=by, now=now)
    else:
        move(session, request, AWAITING, by=by, now=now)
    return request


def one_at_a_time(session: Session) -> None:
    """Let nobody else open a request until this transaction ends: both would be the first."""
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('privacy open', 0))"))


def _open_like(
    session: Session,
    kind: str,
    refs: Sequence[frozenset[bytes]],
    details: Mapping[str, Any],
    *,
    attested: bool,
) -> UUID | None:
    """Return an open request that asks for the same of all these identifiers, if there is one.

    It must be as certain whose it is: a request that nobody has shown to be the person's stands in
    the way of none that is attested, nor does one that waits for other identifiers as well.
    """
    query = sa.select(PrivacyRequest).where(
        PrivacyRequest.kind == kind,
        # What is being carried out does not see what has come of the person since.
        PrivacyRequest.state.in_((RECEIVED, AWAITING, VERIFIED, REVIEW)),
        PrivacyRequest.protocol.is_(None),  # its sender can take it back
        PrivacyRequest.refs.overlap(sa.cast(sorted(frozenset().union(*refs)), ARRAY(BYTEA))),
    )
    for request in session.scalars(query.order_by(PrivacyRequest.received_at)):
        held = {bytes(ref) for ref in request.refs}
        same = len(held) == len(refs) and not attested
        certain = request.verified_at is not None or same
        if certain and request.details == details and all(ref & held for ref in refs):
            return request.id
    return None


def find(session: Session, request_id: UUID, *, lock: bool = False) -> PrivacyRequest:
    """Return a request, locked for a change if need be; raises PrivacyRequestNotFound."""
    query = sa.select(PrivacyRequest).where(PrivacyRequest.id == request_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    request = session.scalar(query)
    if request is None:
        raise PrivacyRequestNotFound(str(request_id))
    return request


def list_all(
    session: Session, *, open_only: bool = False, limit: int = 100
) -> list[PrivacyRequest]:
    """Return requests, those that are due first first."""
    query = sa.select(PrivacyRequest)
    if open_only:
        query = query.where(PrivacyRequest.closed_at.is_(None))
    return list(
        session.scalars(query.order_by(PrivacyRequest.due_at, PrivacyRequest.id).limit(limit))
    )


def note(
    session: Session,
    request: PrivacyRequest,
    what: str,
    *,
    by: str,
    now: datetime,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Put on record what happened, in the ledger too; never with personal data."""
    session.add(
        PrivacyEvent(request_id=request.id, at=now, what=what, by=by, details=dict(details or {}))
    )
    session.flush()
    public = {"request": str(request.id), "kind": request.kind, "what": what}
    statements.append(session, "dsr", public)


def events(session: Session, request_id: UUID) -> list[PrivacyEvent]:
    """Return what happened to a request, in order."""
    query = sa.select(PrivacyEvent).where(PrivacyEvent.request_id == request_id)
    return list(session.scalars(query.order_by(PrivacyEvent.id)))


def tasks(session: Session, request_id: UUID) -> list[PrivacyTask]:
    """Return the plan of a request, in order."""
    query = sa.select(PrivacyTask).where(PrivacyTask.request_id == request_id)
    return list(session.scalars(query.order_by(PrivacyTask.place, PrivacyTask.id)))


def move(session: Session, request: PrivacyRequest, state: str, *, by: str, now: datetime) -> None:
    """Bring a request into the next state; raises PrivacyRequestState when it has ended."""
    must_be_open(request)
    request.state = state
    note(session, request, state, by=by, now=now)


def verified(
    session: Session, request: PrivacyRequest, *, how: str, by: str, now: datetime
) -> None:
    """Note that the person is who they say; from then on the worker may act."""
    must_be_open(request)
    request.verified_at = now
    request.state = VERIFIED
    note(session, request, VERIFIED, by=by, now=now, details={"how": how})


def attest(session: Session, request: PrivacyRequest, *, how: str, by: str, now: datetime) -> None:
    """Take somebody's word that it is the person; raises PrivacyRequestInvalid without words."""
    if not asked.says(how):
        raise PrivacyRequestInvalid("an attestation says how you know that it is the person")
    verified(session, request, how=f"attested: {how.strip()}", by=by, now=now)


def extend(
    session: Session, request: PrivacyRequest, settings: Settings, *, reason: str, by: str,
    now: datetime,
) -> None:  # fmt: skip
    """Extend the time for the answer, once, with the reason that the person is told.

    Only while the first time is running: GDPR art. 12(3) has the person told within it. Raises
    PrivacyRequestState when it is over, and PrivacyRequestInvalid without a reason.
    """
    must_be_open(request)
    if request.extended:
        raise PrivacyRequestState("it was extended already")
    if now >= request.due_at:
        raise PrivacyRequestState("the time for the answer is over")
    if not asked.says(reason):
        raise PrivacyRequestInvalid("an extension needs a reason, which the person is told")
    request.extended = True
    request.due_at = clock.due(
        request.received_at, request.regime, working_days(settings), extended=True
    )
    # The words are the officer's own to the person: they are kept as what was sent.
    note(session, request, "extended", by=by, now=now, details={"reason": reason.strip()})


def end(
    session: Session,
    request: PrivacyRequest,
    state: str,
    *,
    by: str,
    now: datetime,
    reason: str | None = None,
) -> None:
    """End a request. What it holds of the person goes, out of the words about it too.

    Keyed hashes, plan and history stay.

    Raises PrivacyRequestState: when it has ended; as `closed` while a task is open; as anything
    else without a reason.
    """
    must_be_open(request)
    if state not in ENDED:
        raise PrivacyRequestInvalid(f"a request does not end as {state}")
    still = [task.store for task in tasks(session, request.id) if task.state not in FINAL]
    if state == CLOSED and still:
        raise PrivacyRequestState(f"not done yet: {', '.join(sorted(set(still)))}")
    if state in (REFUSED, PARTLY) and not asked.says(reason):
        raise PrivacyRequestInvalid("the person is told why: a reason is needed")
    request.state, request.closed_at, request.reason = state, now, reason
    person = Subject.of_json(request.subject or {"identifiers": []})
    request.subject = request.details = None
    _forget_results(session, request.id)
    note(session, request, state, by=by, now=now, details={"reason": reason} if reason else {})
    words.redact(session, [request], person)
    session.execute(sa.delete(PrivacyCheck).where(PrivacyCheck.request_id == request.id))


def _forget_results(session: Session, request_id: UUID) -> None:
    """Forget where processors have laid what they hold of the person."""
    url = "results_url"
    session.execute(
        sa.update(ProcessorRequest)
        .where(ProcessorRequest.request_id == request_id)
        .values(results_url=None)
    )
    session.execute(
        sa.update(PrivacyTask)
        .where(PrivacyTask.request_id == request_id, PrivacyTask.result.has_key(url))
        .values(result=PrivacyTask.result.op("-")(sa.cast(url, sa.Text)))
    )


def lift(session: Session, request_id: UUID, *, by: str, now: datetime) -> int:
    """End what a request has set, from now on; return how many restrictions that was.

    The person is told before (GDPR art. 18(3)). Raises PrivacyRequestNotFound, and
    PrivacyRequestState before it was carried out: it would set afterwards what was lifted here.
    """
    by_ref = f"request:{request_id}"
    try:
        request = find(session, request_id, lock=True)
    except PrivacyRequestNotFound:
        # It came after a backup that was restored since; what it set was heard again.
        lifted = restrictions.lift(session, by_ref, at=now)
        if not lifted:
            raise
        return lifted
    if request.closed_at is None:
        raise PrivacyRequestState("it is not carried out yet; end it, and it sets nothing")
    lifted = restrictions.lift(session, by_ref, at=now)
    note(session, request, "lifted", by=by, now=now)
    return lifted


def must_be_open(request: PrivacyRequest) -> None:
    """Raises PrivacyRequestState when a request has ended."""
    if request.closed_at is not None:
        raise PrivacyRequestState(f"it ended as {request.state}")
