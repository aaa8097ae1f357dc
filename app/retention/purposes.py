"""Retention by purpose: what no purpose needs any more is deleted (GDPR art. 5(1)(e)).

Something is kept as long as one purpose keeps it: one that the decision allows for its identifier
today, that its own stamp did not refuse, and whose `declared.retention_days` have not passed since
it happened. A purpose that declares none keeps for ever what it is allowed. So consent that lapses
begins the same deletion as consent that is withdrawn. What is restricted (art. 18) stays.

It is decided twice: for everything that is old, while people go on saying things, and for what
seems due once more, while they wait, in the transaction that deletes it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import work
from app.db import Sessions, statement
from app.events.alone import bars
from app.retention import lasting, parts
from consent import suppression
from consent.resolve import UNCONDITIONAL
from identity import graph, people, records
from identity.lock import lock

DECLARED = "retention_days"
#: Events, or identifiers, that are looked at together, and that are deleted together: so long
#: everybody waits who writes something.
BATCH, AT_ONCE = 5_000, 1_000
T = TypeVar("T")
#: How long each purpose keeps what is of an identifier, in days; None: for ever.
Keeping = Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What purposes declare: those that keep of everybody, and those that ask."""

    #: Nothing younger is looked at, in days.
    least: int
    asking: Mapping[str, consent.Purpose]
    #: How long what a page refused destroys nothing, in days (`lasting.answers`).
    page_days: int


@dataclass(frozen=True, slots=True)
class ByPurpose:
    """What no purpose keeps any more: events, and identifiers of which all that was known went."""

    events: int = 0
    profiles: int = 0


def terms(session: Session, page_days: int) -> Terms | None:
    """Return what the purposes in effect declare; None while one keeps everything for ever.

    That is one on contract, the law or vital interests that does not say how long.
    """
    known = consent.catalogue.purposes(session).values()
    always = [p.declared.get(DECLARED) for p in known if p.lawful_basis in UNCONDITIONAL]
    days = [one for one in always if one is not None]
    if len(days) < len(always):
        return None
    asking = {p.key: p for p in known if p.lawful_basis not in UNCONDITIONAL}
    if not days and not any(p.declared.get(DECLARED) for p in asking.values()):
        return None  # nobody has said anything yet
    return Terms(max(days, default=0), asking, page_days)


def run(
    sessions: Sessions,
    *,
    late: timedelta,
    now: datetime,
    page_days: int = 0,
    dry_run: bool = False,
) -> ByPurpose:
    """Delete what no purpose keeps, in small transactions, and return how much that is.

    The files of the lake are the caller's to write anew. `late` is how much younger than its
    partition's opening an event may be.
    """
    with sessions() as session:
        found = terms(session, page_days)
        if found is None:
            return ByPurpose()
        before = now - timedelta(days=found.least)
        asked = parts.holding(session, before, late, column="occurred_at")
    events = sum(_part(sessions, found, part, before, now, dry_run) for part in asked)
    return ByPurpose(events, _profiles(sessions, found, now, dry_run))


def _part(
    sessions: Sessions, told: Terms, part: int, before: datetime, now: datetime, dry_run: bool
) -> int:
    gone, mark = 0, {"transaction": "0", "id": 0}
    while True:
        with sessions() as session:
            asked = {"part": part, "before": before, "limit": BATCH, **mark}
            rows = session.execute(statement("app.retention", "older_events"), asked).all()
            due = _due(session, told, rows, now)
        if not rows:
            return gone
        if dry_run:
            gone += len(due)
        else:
            gone += sum(_delete(sessions, told, part, some, now) for some in _portions(due))
        mark = {"transaction": rows[-1].transaction, "id": rows[-1].id}


def _delete(
    sessions: Sessions, known: Terms, part: int, due: Sequence[sa.Row[Any]], now: datetime
) -> int:
    """Delete what still nobody keeps while nobody can say otherwise; return how much."""
    with sessions.begin() as session:
        told = _held_terms(session, known.page_days)
        if told is None:
            return 0
        locked = session.execute(statement("app.retention", "lock_due"), _which(part, due)).all()
        still = _due(session, told, locked, now)
        if still:
            session.execute(statement("app.retention", "delete_events"), _which(part, still))
    return len(still)


def _portions(due: Sequence[T]) -> Iterator[Sequence[T]]:
    return (due[first : first + AT_ONCE] for first in range(0, len(due), AT_ONCE))


def _which(part: int, rows: Sequence[sa.Row[Any]]) -> dict[str, Any]:
    transactions = [row.transaction for row in rows]
    return {"part": part, "transactions": transactions, "ids": [row.id for row in rows]}


def _held_terms(session: Session, page_days: int) -> Terms | None:
    """Return what purposes declare, which with all that people say stays so until the end.

    Whoever agrees, or has the use of their data restricted, comes before this or waits for it.
    """
    suppression.write_lock(session)
    consent.catalogue.hold(session)
    return terms(session, page_days)


def _due(
    session: Session, told: Terms, rows: Sequence[sa.Row[Any]], now: datetime
) -> list[sa.Row[Any]]:
    """Return the events that no purpose keeps."""
    old = [row for row in rows if row.at < now - timedelta(days=told.least)]
    keeping = _keeping(session, told, {row.identifier_id for row in old}) if old else {}
    return [
        row
        for row in old
        if not _kept(keeping.get(row.identifier_id, {}), row.refused, now - row.at)
    ]


def _profiles(sessions: Sessions, told: Terms, now: datetime, dry_run: bool) -> int:
    """Delete what is known of identifiers of which nothing was heard for longer than is kept."""
    gone, after = 0, 0
    while True:
        with sessions() as session:
            asked = {"after": after, "limit": BATCH, "ids": None}
            rows = session.execute(statement("app.retention", "silent_profiles"), asked).all()
            due = _silent(session, told, rows, now)
        if not rows:
            return gone
        if dry_run:
            gone += len(due)
        else:
            gone += sum(_forget(sessions, told, some, now) for some in _portions(due))
        after = rows[-1].identifier_id


def _forget(sessions: Sessions, known: Terms, due: Sequence[int], now: datetime) -> int:
    """Delete what is known of whom still nothing was heard and nobody keeps anything.

    Traits, what they say of accounts, and what matching compares them by.
    """
    with sessions.begin() as session:
        lock(session)
        told = _held_terms(session, known.page_days)
        if told is None:
            return 0
        asked = {"after": 0, "limit": len(due), "ids": graph.array(due)}
        rows = session.execute(statement("app.retention", "silent_profiles"), asked).all()
        still = _silent(session, told, rows, now)
        if still:
            session.execute(
                statement("app.retention", "delete_traits"), {"ids": graph.array(still)}
            )
            work.ask_again(session, records.forget(session, still))
            work.touch(session, ((one, "consent", {"all": "retained"}) for one in still))
    return len(still)


def _silent(session: Session, told: Terms, rows: Sequence[sa.Row[Any]], now: datetime) -> list[int]:
    """Return the identifiers of whom no purpose keeps what is known."""
    before = now - timedelta(days=told.least)
    old = [row for row in rows if row.at is not None and row.at < before]
    keeping = _keeping(session, told, {row.identifier_id for row in old}) if old else {}
    return [
        row.identifier_id
        for row in old
        if not _kept(keeping.get(row.identifier_id, {}), (), now - row.at)
    ]


def _kept(keeping: Keeping, refused: Collection[str], age: timedelta) -> bool:
    """Say whether a purpose keeps what is that old and whose stamp refused these purposes."""
    return any(
        days is None or age < timedelta(days=days)
        for purpose, days in keeping.items()
        if not bars(refused, purpose)
    )


def _keeping(session: Session, told: Terms, identifiers: Iterable[int]) -> Mapping[int, Keeping]:
    """Return by which purposes each identifier's data are kept, beyond the least."""
    wanted = set(identifiers)
    persons = set(people.people_of(session, wanted).values())
    these = {"people": graph.array(persons)}
    agreed = set(session.scalars(statement("app.retention", "agreed_to"), these))
    found: defaultdict[int, dict[str, int | None]] = defaultdict(dict)
    for identifier in session.scalars(statement("app.retention", "restricted"), these):
        found[identifier][""] = None
    for key, purpose in told.asking.items():
        days = purpose.declared.get(DECLARED)
        if days is not None and days <= told.least:
            continue
        if purpose.lawful_basis == "consent" and key not in agreed:
            continue
        for row in lasting.answers(
            session, purpose, persons, use="analyse", page_days=told.page_days
        ):
            if row.reason == "restricted":  # since the table was asked
                found[row.identifier_id][""] = None
            elif row.allowed and row.identifier_id in wanted:
                found[row.identifier_id][key] = days
    return found
