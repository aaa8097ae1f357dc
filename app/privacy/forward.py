"""Passes requests of data subjects on to destinations that speak OpenDSR, and hears what they do.

A processor is asked for what this server was asked for, of a person of whom it was told, by those
identifiers that it was told. What it answers and calls back counts when it has signed it. The task
of a request waits for its row here; `forward` is the only thing that speaks to processors.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import Sessions, exclusively, statement
from app.destinations.tables import Destination
from app.errors import (
    CallbackNotSigned,
    DestinationKeyUnusable,
    PrivacyRequestInvalid,
    PrivacyRequestNotFound,
    ProcessorUnusable,
)
from app.privacy import opendsr, passing, processors, requests, signed
from app.privacy.step import DONE, FAILED, NOT_SUPPORTED, WAITING, Outcome, Work
from app.privacy.subject import Subject
from app.privacy.tables import PrivacyTask, Processor, ProcessorRequest
from app.settings import Settings
from identity import graph, people

#: The name of the tasks, one a processor.
STORE = "processor"
OPEN, UNSUPPORTED = "open", "unsupported"
#: A request moves only this way: a late or repeated callback takes nothing back.
ORDER = (OPEN, opendsr.PENDING, opendsr.IN_PROGRESS, opendsr.CANCELLED, opendsr.COMPLETED)
#: How often to ask a processor that calls nobody back; how long what it supports is believed.
ASK, DISCOVER = timedelta(hours=1), timedelta(days=1)
LONGEST_WAIT = timedelta(hours=1)
#: How long after it was found cancelled a request is sent anew.
ANEW = timedelta(days=1)


def plan(session: Session, person: Subject) -> list[tuple[str, dict[str, Any]]]:
    """Return a task for each processor that was told of the person: (target, result).

    Where it is no longer on record by which identifiers it was told, it is given all; never an
    address of which only a page says that it is theirs (decision 0074), and nothing who was told by
    no other: it would do to that address's owner what this person asks for.
    """
    rows = session.execute(
        statement("app.privacy", "told_processors"), {"ids": graph.array(person.ids)}
    ).all()
    known = {i for row in rows for i in row.identifier_ids}
    names = {one.id: (one.namespace, one.value) for one in people.identifiers(session, known)}
    sure = set(person.sure.identifiers)
    places = {one: place for place, one in enumerate(person.identifiers) if one in sure}
    found = []
    for row in rows:
        told = sorted(places[names[i]] for i in row.identifier_ids if names[i] in places)
        if told or not row.identifier_ids:
            identities = told or list(places.values())
            found.append((str(row.destination_id), {"identities": identities}))
    return found


def step(work: Work) -> Outcome:
    """Ask where a request that was passed on to a processor is."""
    target = int(work.target)
    with work.sessions.begin() as session:
        processor, destination = session.get(Processor, target), session.get(Destination, target)
        row = session.scalar(
            sa.select(ProcessorRequest).where(
                ProcessorRequest.request_id == work.request_id,
                ProcessorRequest.destination_id == target,
            )
        )
        if row is None:
            _write(session, work, target)
            return Outcome(WAITING, work.result)
        result = {**work.result, "subject_request_id": str(row.id), "status": row.status}
        if row.expected_at:
            result["expected_at"] = row.expected_at.isoformat()
        if row.results_url:
            result["results_url"] = row.results_url
        if row.status == opendsr.COMPLETED:
            return Outcome(DONE, result)
        if processor is None or destination is None:
            return Outcome(NOT_SUPPORTED, {**result, "why": "it is no processor here any more"})
        result |= {"name": destination.name, "domain": processor.domain, "why": row.why}
        if row.status == UNSUPPORTED:
            return Outcome(NOT_SUPPORTED, result)
        return Outcome(FAILED if row.why else WAITING, result, again=ASK.total_seconds())


def _write(session: Session, work: Work, target: int) -> None:
    values = {
        "id": uuid4(), "request_id": work.request_id, "destination_id": target, "status": OPEN,
        "identities": work.result["identities"], "due_at": work.now,
    }  # fmt: skip
    session.execute(insert(ProcessorRequest).values(values).on_conflict_do_nothing())


def forward(sessions: Sessions, settings: Settings, client: httpx.Client) -> int:
    """Send what is due to processors or ask for its status; return how many were spoken to."""
    query = sa.select(ProcessorRequest.id).where(
        ProcessorRequest.ended_at.is_(None), ProcessorRequest.due_at <= datetime.now(UTC)
    )
    with exclusively(sessions, "processors") as mine:
        if not mine:
            return 0
        with sessions() as session:
            ids = session.scalars(query.order_by(ProcessorRequest.due_at)).all()
        for one in ids:
            _speak(sessions, settings, client, one)
    return len(ids)


def _speak(sessions: Sessions, settings: Settings, client: httpx.Client, row_id: UUID) -> None:
    """Speak to one processor about one request, outside of any transaction."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        row = session.get_one(ProcessorRequest, row_id)
        request, target = requests.find(session, row.request_id), row.destination_id
        processor = session.get(Processor, target)
        if processor is None or request.closed_at is not None or request.subject is None:
            row.ended_at = now  # nobody waits for it any more, or nothing is left to ask with
            return
        try:
            address = processors.address_of(processor)
        except DestinationKeyUnusable as error:
            _failed(session, row, str(error))
            return
        certificate = processor.certificate
        supported = (processor.kinds, processor.identities)
        lapsed = not signed.valid(signed.certificates(certificate)[0])
        old = lapsed or now - processor.discovered_at > DISCOVER
        status, tried = row.status, row.attempts
        body = passing.body_of(settings, request, row)
    try:
        if old or tried:
            found = processors.discover(client, address)
            certificate, supported = found["certificate"], (found["kinds"], found["identities"])
            with sessions.begin() as session:
                processors.renew(processors.find(session, target), found)
        wanted = passing.supported_of(body, *supported)
        if isinstance(wanted, str):
            told: passing.Told | str = wanted
        else:
            told = passing.exchange(
                client, settings, address, certificate, row_id, wanted, first=status == OPEN,
                repeated=tried > 0,
            )  # fmt: skip
    except ProcessorUnusable as error:
        with sessions.begin() as session:
            failed = session.get_one(ProcessorRequest, row_id, with_for_update=True)
            _failed(session, failed, str(error))
        return
    with sessions.begin() as session:
        if isinstance(told, str):
            row = session.get_one(ProcessorRequest, row_id, with_for_update=True)
            row.status, row.why, row.ended_at = UNSUPPORTED, told, now
            _wake(session, row)
        else:
            _take(session, row_id, told, asked=True)


def called_back(
    sessions: Sessions, settings: Settings, *, domain: str, signature: str, body: bytes
) -> None:
    """Take a status callback (specification, 8.8); nothing of it is read before it is verified.

    Raises CallbackNotSigned, PrivacyRequestInvalid, PrivacyRequestNotFound.
    """
    with sessions.begin() as session:
        proven = {
            one.destination_id
            for one in processors.signers(session, domain)
            if signed.holds(one.certificate, signature, body)
        }
        if not proven:
            raise CallbackNotSigned("")
        try:
            told = msgspec.json.decode(body, type=passing.Told)
        except (msgspec.DecodeError, RecursionError) as error:
            raise PrivacyRequestInvalid("not of the form of an OpenDSR callback") from error
        if told.status_callback_url != settings.public_url + passing.CALLBACKS:
            raise PrivacyRequestInvalid("status_callback_url is of another receiver")
        row = session.get(ProcessorRequest, told.subject_request_id)
        if row is None or row.destination_id not in proven:
            raise PrivacyRequestNotFound("")
        try:
            _take(session, row.id, told)
        except ProcessorUnusable as error:
            raise PrivacyRequestInvalid(str(error)) from error


def _take(session: Session, row_id: UUID, told: passing.Told, *, asked: bool = False) -> None:
    """Note the status that a processor has told; raises ProcessorUnusable.

    One that says `cancelled` once more when it is `asked` will not think better of it: it is sent
    another request in a day, under another id, since the person's request is not fulfilled.
    """
    if told.request_status not in ORDER[1:] or told.subject_request_id != row_id:
        raise ProcessorUnusable("its status is none of the specification")
    now = datetime.now(UTC)
    row = session.get_one(ProcessorRequest, row_id, with_for_update=True, populate_existing=True)
    row.attempts, row.due_at = 0, now + ASK
    if row.ended_at is not None or ORDER.index(told.request_status) < ORDER.index(row.status):
        return
    if asked and row.status == told.request_status == opendsr.CANCELLED:
        row.id, row.status, row.due_at = uuid4(), OPEN, now + ANEW
        return
    changed = row.status != told.request_status
    row.status, row.why = told.request_status, None
    row.expected_at = told.expected_completion_time or row.expected_at
    if told.results_url and told.results_url.startswith("https://"):
        row.results_url = told.results_url[:2_048]
    if row.status == opendsr.COMPLETED:
        row.ended_at = now
    if row.status == opendsr.CANCELLED:
        row.why = "the processor cancelled it"
    if changed:
        request = requests.find(session, row.request_id)
        to = {"destination_id": row.destination_id, "status": row.status}
        requests.note(session, request, STORE, by=STORE, now=now, details=to)
    _wake(session, row)


def _failed(session: Session, row: ProcessorRequest, why: str) -> None:
    if row.ended_at is not None:
        return  # it has called back meanwhile
    row.attempts, row.why = row.attempts + 1, why
    wait = min(LONGEST_WAIT, timedelta(seconds=5 * 2 ** min(row.attempts, 12)))
    row.due_at = datetime.now(UTC) + wait
    _wake(session, row)


def _wake(session: Session, row: ProcessorRequest) -> None:
    """Have the task of the request look at this at once."""
    session.execute(
        sa.update(PrivacyTask)
        .where(
            PrivacyTask.request_id == row.request_id,
            PrivacyTask.store == STORE,
            PrivacyTask.target == str(row.destination_id),
            PrivacyTask.state.not_in(requests.FINAL),
        )
        .values(due_at=sa.func.now())
    )
