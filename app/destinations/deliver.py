"""Delivers what waits in the outbox: claim, decide once more, send, note the result."""

import random
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa

from app.consents import in_use
from app.consents.permission import permissions
from app.db import Sessions, statement
from app.destinations import google, manifest, webhook
from app.destinations.outbox import ENTERED, allowed_people
from app.destinations.tables import Delivery, Destination
from identity import people

#: Waits after each failed attempt, in seconds; 75 hours in all (Standard Webhooks, operational
#: considerations).
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
#: How long a claimed message is ours; after a crash somebody else takes it up again.
LEASE = timedelta(seconds=60)
AT_ONCE = 8
#: As many as are sent at once: one that waited its turn would go out on an old decision.
CLAIM = AT_ONCE


@dataclass(frozen=True, slots=True)
class _Job:
    id: int
    message_id: str
    url: str
    secret: str
    kind: str
    created_at: datetime
    data: dict[str, Any]
    attempts: int


def deliver(sessions: Sessions, client: httpx.Client) -> int:
    """Send what is due and return how many messages were tried.

    Per destination and person in order: a message waits until those before it are done. Each is
    claimed in a transaction of its own that ends before the network is touched, since a long one
    would hold back every reader of the event stream. From the decision to the receiver's answer
    the identifiers are in use: who withdraws meanwhile is answered after it.
    """
    with sessions.begin() as session:
        rows = _claim(session)
        concerned = {i for ids in _members(session, rows).values() for i in ids}
    if not rows:
        return 0
    with in_use.held(sessions, concerned):
        with sessions.begin() as session:
            jobs = _decide(session, rows, concerned)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(lambda job: _send(client, job), jobs))
    with sessions.begin() as session:
        for job, answer in zip(jobs, answers, strict=True):
            _note(session, job, answer)
    return len(rows)


def _claim(session: sa.orm.Session) -> Sequence[sa.Row[Any]]:
    """Take what is due."""
    now = datetime.now(UTC)
    return session.execute(
        statement("app.destinations", "claim"),
        {"now": now, "lease": now + LEASE, "limit": CLAIM},
    ).all()


def _members(session: sa.orm.Session, rows: Sequence[sa.Row[Any]]) -> dict[int, set[int]]:
    """Return all identifiers of whom each message is about, a person or an asserted group of one.

    Of the whole person in any case: a refusal of somebody matched is heard too.
    """
    persons = people.people_of(session, {row.person_id for row in rows})
    found: dict[int, set[int]] = {}
    for member in people.members(session, set(persons.values())):
        found.setdefault(member.person_id, set()).add(member.identifier_id)
    return {who: found[person] for who, person in persons.items()}


def _decide(
    session: sa.orm.Session, rows: Sequence[sa.Row[Any]], held: Collection[int]
) -> list[_Job]:
    """Decide consent anew, note what is to be sent in evidence of it, and return that."""
    now = datetime.now(UTC)
    known = frozenset(held)
    members = _members(session, rows)
    joined_since = {who for who, ids in members.items() if not ids <= known}
    allowed = _allowed(session, [r for r in rows if r.person_id not in joined_since], now)
    entered = _entered(session, [r for r in rows if r.person_id not in joined_since])
    jobs, sends = [], []
    for row in rows:
        data: dict[str, Any] = {"profile_id": str(row.profile_id), **row.payload}
        if row.person_id in joined_since:
            _again(session, row.id, now)
            continue
        if row.type == ENTERED:
            if (row.purpose, row.tcf_vendor, row.person_id) not in allowed:
                _end(session, row.id, "dropped", "consent no longer allows it")
                continue
            sent = entered[row.id]
            data["identifiers"] = _by_namespace(sent.identifiers)
            data |= google.consent_of(session, row.purpose, row.person_id)
            sends.append(sent)
        elif row.person_id in members:  # of who was erased nothing is kept
            about = people.identifiers(session, members[row.person_id])
            sends.append(manifest.Sent(row, manifest.TOLD_BEFORE, about))
        jobs.append(
            _Job(
                row.id, str(row.message_id), row.url, row.secret, row.type, row.created_at, data,
                row.attempts,
            )
        )  # fmt: skip
    manifest.note(session, sends)
    return jobs


def _allowed(
    session: sa.orm.Session, rows: Sequence[sa.Row[Any]], now: datetime
) -> set[tuple[str, int | None, int]]:
    """Return who may be told of these entries: purpose, vendor, person."""
    asked: dict[tuple[str, int | None], set[int]] = {}
    for row in rows:
        if row.type == ENTERED:
            asked.setdefault((row.purpose, row.tcf_vendor), set()).add(row.person_id)
    return {
        (purpose, vendor, person)
        for (purpose, vendor), persons in asked.items()
        for person in allowed_people(session, purpose, persons, now=now, tcf_vendor=vendor)
    }


def _again(session: sa.orm.Session, delivery: int, now: datetime) -> None:
    """Leave a message to the next round: whoever it is about has changed under our hands."""
    session.execute(
        sa.update(Delivery)
        .where(Delivery.id == delivery)
        .values(due_at=now, attempts=Delivery.attempts - 1)
    )


def _entered(session: sa.orm.Session, rows: Sequence[sa.Row[Any]]) -> dict[int, manifest.Sent]:
    """Return why each of these may go out, and by which identifiers the receiver may know them."""
    asked: dict[str, set[int]] = {}
    for row in rows:
        if row.type == ENTERED:
            asked.setdefault(row.purpose, set()).add(row.person_id)
    why: dict[tuple[str, int], dict[int, str]] = {}
    for purpose, persons in asked.items():
        for p in permissions(session, purpose, persons):
            if p.allowed:
                why.setdefault((purpose, p.person_id), {})[p.identifier_id] = p.reason
    ids = {i for reasons in why.values() for i in reasons}
    known = {one.id: one for one in people.identifiers(session, ids)} if ids else {}
    found = {}
    for row in rows:
        reasons = why.get((row.purpose, row.person_id), {})
        about = [known[i] for i in sorted(reasons)]
        found[row.id] = manifest.Sent(row, next(iter(reasons.values()), manifest.NOBODY), about)
    return found


def _by_namespace(identifiers: Sequence[sa.Row[int, str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in identifiers:
        found.setdefault(one.namespace, []).append(one.value)
    return found


def _send(client: httpx.Client, job: _Job) -> webhook.Answer:
    return webhook.send(
        client,
        url=job.url,
        secret=job.secret,
        message_id=job.message_id,
        kind=job.kind,
        occurred_at=job.created_at,
        data=job.data,
        now=datetime.now(UTC),
    )


def _note(session: sa.orm.Session, job: _Job, answer: webhook.Answer) -> None:
    """Write down the result: delivered, to be tried again, given up, or destination gone."""
    now = datetime.now(UTC)
    if answer.accepted:
        _end(session, job.id, "delivered", None, answer.status)
    elif answer.gone:
        _end(session, job.id, "failed", "the receiver answered 410 Gone", 410)
        mine = sa.select(Delivery.destination_id).where(Delivery.id == job.id).scalar_subquery()
        session.execute(
            sa.update(Destination)
            .where(Destination.id == mine)
            .values(enabled=False, why_disabled="the receiver answered 410 Gone")
        )
    elif job.attempts > len(RETRY_SECONDS):
        _end(session, job.id, "failed", f"given up: {answer.error}", answer.status)
    else:
        wait = RETRY_SECONDS[job.attempts - 1] * random.uniform(1, 1.2)  # noqa: S311  # jitter
        wait = max(wait, answer.retry_after_seconds or 0)
        session.execute(
            sa.update(Delivery)
            .where(Delivery.id == job.id)
            .values(
                due_at=now + timedelta(seconds=wait),
                reason=answer.error,
                last_status=answer.status,
            )
        )


def _end(
    session: sa.orm.Session,
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
