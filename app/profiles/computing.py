"""Computes traits of people: of those whom a step touched, of those whose time has come, of all.

A value is always made of all events of a person, never of the value before it. So late events,
merges, splits, withdrawals and erasures end in what there would be had all come in that state.
"""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import Sessions, limited, refused, statement
from app.events.stream import Outline
from app.profiles import computed, computed_sql, scores
from app.profiles import computed_traits as traits
from app.profiles.changes import News, publish
from app.profiles.computed import called_of
from app.profiles.conditions import Called
from app.profiles.history import wait_for_steps
from app.profiles.tables import ComputedTrait, ComputedValue
from identity import graph
from identity import people as identity

log = logging.getLogger("parcours.computing")

#: People computed in one transaction.
PORTION = 1_000
#: After an error everybody is computed again.
RETRY = timedelta(seconds=60)
#: So long does a trait stand that asks how long ago dates are; then everybody is computed anew.
DATES_LAST = timedelta(hours=1)
#: So long may one trait take for the people of a step or of a portion.
LONGEST_SECONDS = 10.0


def follow(
    session: Session,
    people: Collection[int],
    *,
    now: datetime,
    events: Sequence[Outline] = (),
) -> set[int]:
    """Compute what a step of the pipeline may have changed; return for whom a value is another.

    `people` are those who moved, or whose consent did; besides those are computed whose new
    events, late ones too, are those that a trait is about. A trait that cannot be computed is
    marked so, and holds nothing up.
    """
    listed = [trait for trait in traits.list_all(session) if trait.error is None]
    if not listed:
        return set()
    changed: set[int] = set()
    named = named_in(session, {called_of(trait.definition) for trait in listed}, events)
    for trait in listed:
        concerned = {*people, *named.get(called_of(trait.definition), ())}
        if concerned:
            changed |= _try(session, trait, concerned, now) or set()
    return changed


def named_in(
    session: Session, asked: Collection[Called], events: Sequence[Outline]
) -> dict[Called, set[int]]:
    """Return whose events that are called so are in a step that has not ended."""
    found: dict[Called, set[int]] = {}
    if not events:
        return found
    names = sorted({name for _, name in asked if name is not None})
    types = sorted({kind for kind, name in asked if kind is not None and name is None})
    rows = session.execute(
        statement("app.profiles", "named_in_step"),
        {"names": names, "types": types, "transaction": events[-1].stream_transaction,
         "id": events[-1].id},
    ).all()  # fmt: skip
    persons = identity.people_of(session, {row.identifier_id for row in rows})
    for row in rows:
        for one in ((row.type, row.name), (row.type, None), (None, row.name)):
            if one in asked:
                found.setdefault(one, set()).add(persons[row.identifier_id])
    return found


def _try(
    session: Session, trait: ComputedTrait, people: Collection[int], now: datetime
) -> set[int] | None:
    """Compute and return for whom a value is another, or note why that cannot be done (None).

    An error of the database's own is raised.
    """
    try:
        with session.begin_nested(), limited(session, LONGEST_SECONDS):
            return compute(session, trait, people, now=now)
    except sa.exc.DBAPIError as error:
        _failed(session, trait, error, LONGEST_SECONDS, now)
        return None


def _bounds(session: Session, trait: ComputedTrait, now: datetime) -> dict[str, list[str]] | None:
    """Return the bounds of a trait that scores, or note why there are none (None)."""
    try:
        with session.begin_nested():
            return scores.find_bounds(session, trait, now=now)
    except sa.exc.DBAPIError as error:
        _failed(session, trait, error, scores.LONGEST_SECONDS, now)
        return None


def _failed(
    session: Session, trait: ComputedTrait, error: sa.exc.DBAPIError, seconds: float, now: datetime
) -> None:
    why = refused(error, seconds)
    if why is None:
        raise error
    trait.error = why
    trait.failed_at = now
    log.error("computed trait %s: %s", trait.key, trait.error)
    session.flush()


def compute(
    session: Session, trait: ComputedTrait, people: Collection[int], *, now: datetime
) -> set[int]:
    """Bring what a trait is for these people up to date; return for whom it is another value.

    Who has nothing any more loses it.

    `people` may be ids that were people once. Locks the trait, so that what was read later is
    written later. Safe to repeat.
    """
    if not _locked(session, trait) or (scores.scores(trait) and trait.bounds is None):
        return set()  # the look that finds the bounds computes everybody after them
    purpose = consent.catalogue.purpose(session, trait.purpose)
    asked = set(people)
    if purpose.link_confidence == "deterministic":  # a group is called after any of these
        asked |= {row.identifier_id for row in identity.members(session, people)}
    text, values = computed_sql.query(
        trait.definition, purpose, now=now, people=people, bounds=trait.bounds, keep=True
    )
    bound = {**values, "trait": trait.id, "asked": graph.array(asked), "at": now}
    return set(session.scalars(text, bound))


def _locked(session: Session, trait: ComputedTrait) -> bool:
    """Read a trait as it is now and let nobody change it; False when it is gone."""
    found = session.get(ComputedTrait, trait.id, with_for_update=True, populate_existing=True)
    return found is not None


def advance(sessions: Sessions, *, now: datetime | None = None) -> bool:
    """Compute the next portion: of a trait that waits for it, or of whom time has changed.

    One transaction. Say whether there was anything to do.
    """
    now = now or datetime.now(UTC)
    with sessions.begin() as session:
        for trait in traits.list_all(session):
            if trait.error is not None and trait.failed_at and trait.failed_at < now - RETRY:
                traits.try_again(session, trait)
            if trait.error is not None:
                continue
            if _portion(session, trait, now) or _due(session, trait, now):
                return True
    return False


def _portion(session: Session, trait: ComputedTrait, now: datetime) -> bool:
    anew = trait.until is None or _outdated(trait, now)
    if not anew and trait.position >= (trait.until or 0):
        return False
    started = time.perf_counter()
    if anew:
        if not _begin(session, trait, now):
            return True
    elif not _locked(session, trait):
        return False
    ids = session.scalars(
        sa.text(_NEXT), {"after": trait.position, "until": trait.until, "limit": PORTION}
    ).all()
    changed = _try(session, trait, ids, now) if ids else set()
    if changed is None:
        return True
    publish(session, updated(changed), at=now)
    trait.position = ids[-1] if len(ids) == PORTION else (trait.until or 0)
    trait.milliseconds += (time.perf_counter() - started) * 1000
    if trait.position >= (trait.until or 0):
        trait.computed_at = now
    return True


def _outdated(trait: ComputedTrait, now: datetime) -> bool:
    """Say whether time alone has made it another for anybody: by new bounds, or by dates.

    Dates of events that pass show in no value, and who has none yet may get one.
    """
    if scores.outdated(trait, now=now):
        return True
    whole = trait.until is not None and trait.position >= trait.until
    passed = trait.computed_at is not None and trait.computed_at <= now - DATES_LAST
    return whole and passed and computed.dated(trait.definition)


def _begin(session: Session, trait: ComputedTrait, now: datetime) -> bool:
    """Begin to compute everybody, unless the trait is another by now, or cannot be computed."""
    definition, bounds = trait.definition, None
    if scores.scores(trait):  # before anything is locked: it looks at everybody's events
        bounds = _bounds(session, trait, now)
        if bounds is None:
            return False
    wait_for_steps(session)  # a step that does not know of the trait yet ends before the look
    if not _locked(session, trait) or trait.definition != definition:
        return False
    if trait.until is None or _outdated(trait, now):
        trait.position, trait.milliseconds = 0, 0.0
        if bounds is not None:
            trait.bounds, trait.bounds_at = bounds, now
        trait.until = session.scalar(sa.text(_LAST)) or 0
    return True


_LAST = "SELECT max(identifier_id) FROM identity.current_person"
_NEXT = (
    "SELECT identifier_id FROM identity.current_person WHERE identifier_id = person_id "
    "AND identifier_id > :after AND identifier_id <= :until ORDER BY identifier_id LIMIT :limit"
)


def _due(session: Session, trait: ComputedTrait, now: datetime) -> bool:
    due = sa.select(ComputedValue.subject_id).where(
        ComputedValue.trait_id == trait.id, ComputedValue.due_at <= now
    )
    subjects = session.scalars(due.order_by(ComputedValue.due_at).limit(PORTION)).all()
    if not subjects:
        return False
    persons = set(identity.people_of(session, subjects).values())
    changed = _try(session, trait, {*persons, *subjects}, now)
    publish(session, updated(changed or ()), at=now)
    return True


def updated(people: Iterable[int]) -> list[News]:
    """Return the news that profiles have changed, for whom what was computed is another value."""
    return [News("profile.updated", person) for person in sorted(people)]


def waiting(session: Session, trait: ComputedTrait, now: datetime) -> int:
    """Return how many values time has made another, and are still to be computed."""
    query = sa.select(sa.func.count()).where(
        ComputedValue.trait_id == trait.id, ComputedValue.due_at <= now
    )
    return session.scalar(query) or 0


def describe(session: Session, trait: ComputedTrait, *, now: datetime) -> dict[str, Any]:
    """Return a computed trait as the API and the command line show it: no values of people."""
    return {
        "key": trait.key,
        "name": trait.name,
        "purpose": trait.purpose,
        "definition": trait.definition,
        "state": traits.state(trait),
        "share": round(traits.share(trait), 4),
        "size": traits.size(session, trait),
        "waiting": waiting(session, trait, now),
        "created_at": trait.created_at.isoformat(),
        "updated_at": trait.updated_at.isoformat(),
        "computed_at": trait.computed_at.isoformat() if trait.computed_at else None,
        "bounds_at": trait.bounds_at.isoformat() if trait.bounds_at else None,
        "milliseconds": round(trait.milliseconds, 1),
        "error": trait.error,
        "failed_at": trait.failed_at.isoformat() if trait.failed_at else None,
    }
