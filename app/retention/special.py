"""Destroys values of special categories that nobody may read any more (GDPR art. 9, 17(1)(b)).

A value is kept as long as one purpose in effect covers its category, is allowed for the event's
identifier today, and was not refused by the event's own stamp: the same that lets it be read. So
a consent that is withdrawn, lapses or is renewed ends with the values that rested on it; the rest
of the event stays. What the key of a page withdrew destroys them some days later (`lasting`). What
is restricted (art. 18) stays, and so does what only a match bars, which nobody reads meanwhile: it
may be wrong. The ledger tells how many events lost some, and of nobody.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import Sessions, statement
from app.events import partitions
from app.events.alone import bars
from app.events.special import APART, categories_of, covers
from app.retention import lasting
from consent import ledger, suppression
from identity import graph, people

#: Events of one transaction.
BATCH = 5_000
#: The purposes, by identifier, for which its values may be read; None: they stay, whatever it is.
Allowed = Mapping[int, Collection[str] | None]


def run(sessions: Sessions, *, page_days: int = 0, dry_run: bool = False) -> int:
    """Destroy them in small transactions, and return how many events lost some, or would.

    What somebody else has locked, as an erasure does, is left for the next run.

    Where no version of a purpose ever covered a category there is nothing to look for. Otherwise
    each partition is read once, without an index: 0.7 s a million events (`parts.holding`).
    """
    with sessions() as session:
        if not consent.catalogue.ever_declared(session, "special_categories"):
            return 0
        listed = [p.part for p in partitions.list_all(session) if p.opened_at is not None]
    return sum(_part(sessions, part, page_days, dry_run) for part in listed)


def _part(sessions: Sessions, part: int, page_days: int, dry_run: bool) -> int:
    gone, mark = 0, {"transaction": "0", "id": 0}
    while True:
        with sessions.begin() as session:
            asked = {"part": part, "limit": BATCH, **mark}
            rows = session.execute(statement("app.retention", "special_events"), asked).all()
            if not rows:
                return gone
            known = consent.catalogue.purposes(session)
            asking = {key: p for key, p in known.items() if categories_of(p)}
            those = {row.identifier_id for row in rows}
            allowed = _allowed(session, asking, those, page_days)
            due = [row for row in rows if _without(row, asking, allowed) is not None]
            if due:
                gone += len(due) if dry_run else _destroy(session, part, due, page_days)
        mark = {"transaction": rows[-1].transaction, "id": rows[-1].id}


def _allowed(
    session: Session,
    asking: Mapping[str, consent.Purpose],
    identifiers: Iterable[int],
    page_days: int,
) -> Allowed:
    wanted = set(identifiers)
    persons = set(people.people_of(session, wanted).values())
    found: defaultdict[int, set[str]] = defaultdict(set)
    restricted: set[int] = set()
    for key, purpose in asking.items():
        for row in lasting.answers(session, purpose, persons, use="person", page_days=page_days):
            if row.allowed and row.identifier_id in wanted:
                found[row.identifier_id].add(key)
            elif row.reason == "restricted":  # what ends it may be committed before the next line
                restricted.add(row.identifier_id)
    these = {"people": graph.array(persons)}
    restricted.update(session.scalars(statement("app.retention", "restricted"), these))
    return {**found, **dict.fromkeys(restricted, None)}


def _without(
    row: sa.Row[Any], asking: Mapping[str, consent.Purpose], allowed: Allowed
) -> dict[str, Any] | None:
    """Return what stands beside an event without what may not be kept; None where all may."""
    rest = json.loads(row.rest)
    apart = rest.get(APART)
    purposes = allowed.get(row.identifier_id, ())
    if purposes is None or not isinstance(apart, dict):
        return None
    reading = [asking[key] for key in purposes if not bars(row.refused, key)]
    kept = {c: v for c, v in apart.items() if any(covers(p, c) for p in reading)}
    if len(kept) == len(apart):
        return None
    others = {name: value for name, value in rest.items() if name != APART}
    return {**others, APART: kept} if kept else others


def _destroy(session: Session, part: int, due: Collection[sa.Row[Any]], page_days: int) -> int:
    """Destroy what may still not be kept once nobody else writes it; return in how many events.

    It is decided anew, while nobody can say otherwise: a restriction that was set meanwhile keeps
    what it is about, as does consent.
    """
    suppression.write_lock(session)
    consent.catalogue.hold(session)
    known = consent.catalogue.purposes(session)
    asking = {key: p for key, p in known.items() if categories_of(p)}
    which = {
        "part": part,
        "transactions": [row.transaction for row in due],
        "ids": [row.id for row in due],
    }
    locked = session.execute(statement("app.retention", "lock_events"), which).all()
    allowed = _allowed(session, asking, {row.identifier_id for row in locked}, page_days)
    rows = []
    for row in locked:
        rest = _without(row, asking, allowed)
        if rest is not None:
            text = json.dumps(rest, ensure_ascii=False) if rest else None
            rows.append({"transaction": row.transaction, "id": row.id, "rest": text})
    if not rows:
        return 0
    written = {"part": part, "rows": json.dumps(rows, ensure_ascii=False)}
    session.execute(statement("app.retention", "write_rest"), written)
    told = {"act": "special_categories_destroyed", "events": str(len(rows))}
    ledger.append(session, "admin", told)
    return len(rows)
