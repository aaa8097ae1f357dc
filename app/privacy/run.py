"""Carries out the plans of requests, a task at a time; what fails or waits is taken up again.

Level-triggered (docs/decisions/0008): what is to be done is what the tables say. Every step is safe
to repeat, so a process that dies in the middle costs a repetition.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import pipeline
from app.db import Sessions, exclusively
from app.errors import SubjectSuppressed
from app.privacy import (
    answer_steps,
    erasure_steps,
    forward,
    overtaken,
    package_store,
    requests,
    subject,
    vault,
    words,
)
from app.privacy.rectify import AddressShared, AddressTaken
from app.privacy.step import FAILED, OPEN, Outcome, Step, Work
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyRequest, PrivacyTask
from app.settings import Settings
from app.suppression import gate
from consent import erasure as erasures
from identity.errors import IdentifierInvalid

log = logging.getLogger("parcours.privacy")

#: Who does it, in what is put on record.
WORKER = "worker"
#: How long to wait for another process that is at it, in seconds.
WAIT_SECONDS = 0.2
#: Most seconds until a task that failed is tried again.
LONGEST_WAIT = 3_600.0
#: Steps of the pipeline before a person is looked up: what waits may show what is theirs.
MOST_STEPS = 50

#: The steps of each kind of request.
PLANS: Mapping[str, Mapping[str, Step]] = {
    "erasure": erasure_steps.STEPS,
    **answer_steps.PLANS,
}

#: Kinds that mean nothing where nobody is known; the others hold for what comes later as well.
NEEDS_SOMEBODY = ("access", "portability", "explain", "rectification")

#: Steps of an erasure that do not ask whose it is.
OF_NOBODY = {"destination", "models", "backups"}

#: What no later try gets over.
HOPELESS = (IdentifierInvalid, SubjectSuppressed, AddressTaken, AddressShared)
#: Kinds that concern what is on record of addresses that were put right as well.
CONCERN_FORMER = ("access", "portability", "erasure")


def round_(sessions: Sessions, settings: Settings) -> None:
    """Do what is due of all requests. One process at a time."""
    with exclusively(sessions, "privacy") as mine:
        if not mine:
            return
        for request_id in _waiting(sessions):
            carry_out(sessions, settings, request_id)
        with sessions.begin() as session:
            now = datetime.now(UTC)
            package_store.expire(session, settings, now=now)
            overtaken.unshown(session, by=WORKER, now=now)
            _close_fetched(session, now)
            words.expire(session, before=now - timedelta(days=settings.request_days))
        vault.expire(sessions, settings, now=now)


def at_once(sessions: Sessions, settings: Settings, request_id: UUID) -> str:
    """Do what can be done of one request now, when nobody else is at it; return its state."""
    while True:
        with exclusively(sessions, "privacy") as mine:
            if mine:
                return carry_out(sessions, settings, request_id)
        time.sleep(WAIT_SECONDS)


def _close_fetched(session: Session, now: datetime) -> None:
    """Close requests that were answered by a package whose time is over."""
    answered = sa.select(PrivacyRequest).where(PrivacyRequest.state == requests.RESPONDED)
    for request in session.scalars(answered).all():
        if all(p.deleted_at for p in package_store.of_request(session, request.id)):
            requests.end(session, request, requests.CLOSED, by=WORKER, now=now)


def _waiting(sessions: Sessions) -> list[UUID]:
    states = (requests.VERIFIED, requests.EXECUTING)
    query = sa.select(PrivacyRequest.id).where(
        PrivacyRequest.closed_at.is_(None), PrivacyRequest.state.in_(states)
    )
    with sessions() as session:
        return list(session.scalars(query.order_by(PrivacyRequest.received_at)))


def carry_out(sessions: Sessions, settings: Settings, request_id: UUID) -> str:
    """Plan a request if it is not planned yet, do its tasks that are due, and return its state.

    A task that is to be asked again later is left to the next round, also where it is due again
    before the others are done: else the requests after this one would wait for as long as it does.
    """
    _plan(sessions, request_id)
    later: set[int] = set()
    while True:
        task = _next(sessions, request_id, later)
        if task is None:
            return _conclude(sessions, request_id)
        if not _do(sessions, settings, request_id, task):
            later.add(task.id)


def _plan(sessions: Sessions, request_id: UUID) -> None:
    """Find out whose request it is, and write down a task for each store."""
    for _ in range(MOST_STEPS):
        with sessions.begin() as session:
            if pipeline.step(session).idle:
                break
    with sessions.begin() as session:
        request = requests.find(session, request_id, lock=True)
        if request.state != requests.VERIFIED or request.subject is None:
            return
        now = datetime.now(UTC)
        asked = Subject.of_json(request.subject).identifiers
        if not _take_up(session, request, asked, now):
            return
        for place, store in enumerate(PLANS[request.kind]):
            if store not in ("destination", forward.STORE):
                session.add(_task(request_id, place, store, "", {}, now))
        requests.move(session, request, requests.EXECUTING, by=WORKER, now=now)


def _take_up(
    session: Session, request: PrivacyRequest, asked: Collection[tuple[str, str]], now: datetime
) -> bool:
    """Write down whose request it is, and which processors it is passed on to.

    Says whether anything is to be done. The keyed hashes of all their identifiers are kept with
    it: an erasure of any of these ends what is under way, and takes the package that was made.
    """
    person = whose(session, request.kind, asked)
    request.subject = person.as_json()
    if not person.ids and request.kind in NEEDS_SOMEBODY:
        requests.end(session, request, requests.NO_MATCH, by=WORKER, now=now)
        return False
    ref = gate.keys_or_new().newest.ref
    new = {ref(*identifier) for identifier in person.sure.identifiers}
    request.refs = sorted(new.union(bytes(one) for one in request.refs))
    _pass_on(session, request, person, now)
    return True


def _pass_on(session: Session, request: PrivacyRequest, person: Subject, now: datetime) -> None:
    """Write down anew which processors a request is passed on to: nobody was asked yet."""
    places = list(PLANS[request.kind])
    if forward.STORE not in places:
        return
    mine = PrivacyTask.request_id == request.id
    session.execute(sa.delete(PrivacyTask).where(mine, PrivacyTask.store == forward.STORE))
    known = replace(person, ids=tuple(i for i in person.ids if i not in (person.former or ())))
    place = places.index(forward.STORE)
    for target, result in forward.plan(session, known):
        session.add(_task(request.id, place, forward.STORE, target, result, now))


def whose(session: Session, kind: str, asked: Collection[tuple[str, str]]) -> Subject:
    """Return the person of the claimed identifiers as they are now, as far as a kind concerns."""
    person = subject.spelt(session, subject.find(session, asked))
    if kind == "erasure":
        person = subject.with_namesakes(session, person)
    # What was refused under an address that was put right stands under the one that took its place.
    return subject.with_former(session, person) if kind in CONCERN_FORMER else person


def _look_again(sessions: Sessions, request_id: UUID, task: PrivacyTask) -> bool:
    """Find out anew whose request it is before its first step; say whether it goes on.

    It may have waited, and the person been merged, split or put right meanwhile. Afterwards what
    the first step did is carried through for the same person.
    """
    if task.place != 0 or "told" in task.result:  # the first step itself changed who it is
        return True
    with sessions.begin() as session:
        request = requests.find(session, request_id, lock=True)
        if request.state != requests.EXECUTING or request.subject is None:
            return False
        planned = Subject.of_json(request.subject)
        if request.kind == "erasure" and request_id in erasures.done(session):
            return True
        if subject.is_still(session, planned):
            _pass_on(session, request, planned, datetime.now(UTC))  # who was told meanwhile
            return True
        return _anew(session, request, planned.asked)


def _anew(session: Session, request: PrivacyRequest, asked: Collection[tuple[str, str]]) -> bool:
    """Write down whose request it is by now, of which nothing was done yet."""
    now = datetime.now(UTC)
    requests.note(session, request, "person_changed", by=WORKER, now=now)
    return _take_up(session, request, asked, now)


def _found_anew(request_id: UUID, session: Session) -> Subject:
    request = requests.find(session, request_id, lock=True)
    _anew(session, request, Subject.of_json(request.subject or {"identifiers": []}).asked)
    return Subject.of_json(request.subject or {"identifiers": []})


def _task(
    request_id: UUID, place: int, store: str, target: str, result: dict[str, Any], now: datetime
) -> PrivacyTask:
    return PrivacyTask(
        request_id=request_id,
        place=place,
        store=store,
        target=target,
        state=OPEN,
        result=result,
        due_at=now,
    )


def _next(sessions: Sessions, request_id: UUID, later: Collection[int]) -> PrivacyTask | None:
    """Return the next task that is due; none after a first one that is not done yet."""
    now = datetime.now(UTC)
    with sessions() as session:
        request = requests.find(session, request_id)
        if request.state != requests.EXECUTING:
            return None
        left = [t for t in requests.tasks(session, request_id) if t.state not in requests.FINAL]
        first = [t for t in left if t.place == 0]
        due = (t for t in first or left if t.due_at <= now and t.id not in later)
        return next(due, None)


def _do(sessions: Sessions, settings: Settings, request_id: UUID, task: PrivacyTask) -> bool:
    """Do one task and write down what came of it; an error is a reason to try it again.

    Says whether nothing more is to be done of it, or at once.
    """
    if not _look_again(sessions, request_id, task):
        return True
    with sessions() as session:
        request = requests.find(session, request_id)
        work = Work(
            sessions,
            settings,
            request_id,
            request.kind,
            Subject.of_json(request.subject or {"identifiers": []}),
            request.details or {},
            datetime.now(UTC),
            task.target,
            task.result,
            request.received_at,
            partial(_found_anew, request_id),
        )
        step = PLANS[request.kind][task.store]
    try:
        outcome = step(work)
    except HOPELESS as error:
        _give_up(sessions, request_id, task, (type(error).__doc__ or "").partition("\n")[0])
        return True
    except Exception as error:  # whatever it was, it is tried again and shown to the officer
        log.error("%s of a request failed: %s", task.store, type(error).__name__)
        log.debug("request %s", request_id, exc_info=error)
        outcome = Outcome(FAILED, {**task.result, "error": type(error).__name__})
    _note(sessions, request_id, task, outcome)
    return outcome.state in requests.FINAL or outcome.again <= 0


def _give_up(sessions: Sessions, request_id: UUID, task: PrivacyTask, why: str) -> None:
    """End a request that cannot be carried out, for the officer to see why."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        session.execute(
            sa.update(PrivacyTask)
            .where(PrivacyTask.id == task.id)
            .values(state=FAILED, result={**task.result, "why": why}, attempts=task.attempts + 1)
        )
        request = requests.find(session, request_id, lock=True)
        if request.closed_at is None:
            requests.end(session, request, requests.FAILED, by=WORKER, now=now, reason=why)


def _note(sessions: Sessions, request_id: UUID, task: PrivacyTask, outcome: Outcome) -> None:
    now = datetime.now(UTC)
    attempts = task.attempts + (outcome.state == FAILED)
    wait = outcome.again
    if outcome.state == FAILED:
        wait = min(LONGEST_WAIT, 5.0 * 2 ** min(attempts, 12))
    with sessions.begin() as session:
        session.execute(
            sa.update(PrivacyTask)
            .where(PrivacyTask.id == task.id)
            .values(
                state=outcome.state,
                result=outcome.result,
                attempts=attempts,
                due_at=now + timedelta(seconds=wait),
                done_at=now if outcome.state in requests.FINAL else None,
            )
        )
        places = list(PLANS[requests.find(session, request_id).kind])
        for store, target, result in outcome.more:
            row = {
                "request_id": request_id, "place": places.index(store), "store": store,
                "target": target, "state": OPEN, "result": result, "due_at": now,
            }  # fmt: skip
            session.execute(insert(PrivacyTask).values(row).on_conflict_do_nothing())
        if outcome.state in requests.FINAL:
            _forget_erased(session, request_id)


def _forget_erased(session: Session, request_id: UUID) -> None:
    """Forget who was erased once nothing is left to be done that asks: receivers may take weeks."""
    request = requests.find(session, request_id, lock=True)
    left = {t.store for t in requests.tasks(session, request_id) if t.state not in requests.FINAL}
    if request.kind == "erasure" and left <= OF_NOBODY:
        request.subject = None


def _conclude(sessions: Sessions, request_id: UUID) -> str:
    """Close a request of which all is done; one whose answer has to be fetched is answered."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        request = requests.find(session, request_id, lock=True)
        if request.state != requests.EXECUTING:
            return request.state
        left = [t for t in requests.tasks(session, request_id) if t.state not in requests.FINAL]
        if left:
            return request.state
        requests.move(session, request, requests.RESPONDED, by=WORKER, now=now)
        if not package_store.of_request(session, request_id):
            requests.end(session, request, requests.CLOSED, by=WORKER, now=now)
        return request.state
