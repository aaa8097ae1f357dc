"""Follows everybody through the targets of journeys: what they do, and what the clock makes late.

The pipeline says whom a step concerned; a timer says when the clock alone may change somebody's
standing. Whoever is due is looked at anew, from all their events as they may be used now; so late
events, merges, splits, withdrawals and erasures end in what there would be had all come in that
state. What is new is told in the change feed, once.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import permissions
from app.db import Sessions, advisory_lock, statement
from app.journeys import catalogue
from app.journeys.alignment import rules
from app.journeys.definition import Journey
from app.journeys.due import EVERYBODY
from app.journeys.predicate import microseconds
from app.journeys.standing import current, differences, placed
from app.journeys.tables import JourneyDeviation, JourneyDue
from app.journeys.told import Told, told
from app.profiles.changes import News, publish
from identity import graph, people

#: People looked at in one transaction.
PORTION = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: What tells one deviation of a person from another.
Key = tuple[str, str, str, str]


def advance(sessions: Sessions, *, now: datetime | None = None) -> bool:
    """Look at the next portion of those who are due, in one transaction.

    Say whether there was any. Several workers take different people; while somebody is erased,
    none does: what it holds in memory would be written down again.
    """
    with sessions.begin() as session, advisory_lock(session, "journeys", shared=True) as free:
        if not free:
            return False
        now = now or datetime.now(UTC)
        due = session.execute(
            sa.select(JourneyDue.journey, JourneyDue.person_id)
            .where(JourneyDue.due_at <= now)
            .order_by(JourneyDue.due_at)
            .limit(PORTION)
            .with_for_update(skip_locked=True)
        ).all()
        concerned: dict[str, set[int]] = {}
        for row in due:
            concerned.setdefault(row.journey, set()).add(row.person_id)
        for key, persons in sorted(concerned.items()):
            journey = catalogue.followed(session, key)
            if EVERYBODY in persons:
                _spread(session, journey, now)
                persons.discard(EVERYBODY)
            if persons:
                _look(session, journey, persons, now)
        return bool(due)


def _spread(session: Session, journey: Journey, now: datetime) -> None:
    """Have everybody looked at for whom another target may say something else."""
    where = {"journey": journey.key, "now": now}
    session.execute(statement("app.journeys", "mark_deviating"), {**where, "everybody": EVERYBODY})
    if journey.target is not None:
        session.execute(statement("app.journeys", "mark_everybody"), where)


def _look(session: Session, journey: Journey, persons: set[int], now: datetime) -> None:
    """Bring the deviations of these people up to date, and set their timers."""
    timers: dict[int, datetime] = {}
    found: dict[int, dict[Key, dict[str, Any]]] = {}
    members = people.members(session, persons)
    person_of = {row.identifier_id: row.person_id for row in members}
    if journey.target is not None:
        rule, moment = rules(journey), microseconds(now)
        for subject, events in _events(session, journey, members, now).items():
            here = current(rule, placed(journey, events), now=moment)
            if here is None:
                continue
            way, judged = here
            found[subject] = {_key(one): one for one in differences(rule, way, judged)}
            if judged.due is not None:
                at, person = _EPOCH + timedelta(microseconds=judged.due), person_of[subject]
                timers[person] = min(at, timers.get(person, at))
    _keep(session, journey, set(person_of) | persons, found, now)
    session.execute(
        statement("app.journeys", "set_due"),
        {
            "journey": journey.key,
            "people": graph.array(persons),
            "timed": sorted(timers),
            "at": [timers[person] for person in sorted(timers)],
        },
    )


def _events(
    session: Session, journey: Journey, members: Iterable[sa.Row[Any]], now: datetime
) -> Mapping[int, Told]:
    """Return the events of each subject, of the identifiers that may be used for the purpose.

    Subjects are people, or groups where the purpose demands deterministic links.
    """
    known = consent.catalogue.purpose(session, journey.purpose)
    column = "group_id" if known.link_confidence == "deterministic" else "person_id"
    subjects = {getattr(row, column) for row in members}
    if not subjects:
        return {}
    allowed = {
        one.identifier_id: one.person_id
        for one in permissions(session, known, subjects)
        if one.allowed
    }
    return told(session, allowed, journey.purpose, [journey], now=now)


def _key(one: Mapping[str, Any]) -> Key:
    return one["kind"], one["touchpoint"], one["to"] or "", one["since"]


def _keep(
    session: Session,
    journey: Journey,
    subjects: Collection[int],
    found: Mapping[int, Mapping[Key, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Write what is new and tell it, take away what holds no longer."""
    table = JourneyDeviation
    rows = session.scalars(
        sa.select(table).where(
            table.journey == journey.key, graph.among(table.subject_id, subjects)
        )
    ).all()
    before = {
        (row.subject_id, (row.kind, row.touchpoint, row.to_touchpoint, row.since.isoformat())): row
        for row in rows
    }
    after = {(subject, key): one for subject, keys in found.items() for key, one in keys.items()}
    for place, row in before.items():
        if place not in after:
            session.delete(row)
    session.flush()
    news = []
    for subject, key in sorted(after.keys() - before.keys()):
        kind, touchpoint, to, since = key
        session.add(
            table(
                journey=journey.key,
                subject_id=subject,
                kind=kind,
                touchpoint=touchpoint,
                to_touchpoint=to,
                since=datetime.fromisoformat(since),
                raised_at=now,
            )
        )
        about = {"journey": journey.key, "purpose": journey.purpose, **after[subject, key]}
        news.append(News("journey.deviated", subject, about))
    session.flush()
    publish(session, news, at=now)
