"""Whose identifiers may be analysed for a purpose: decided once for as long as nothing changes."""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, parameters, unit
from app.db import statement

#: An array of 64-bit ids, of numpy.
Ids = Any

#: Purposes that are remembered; of 500,000 people with 750,000 identifiers each takes 12 MB.
MOST = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of all that decisions rest on, and when time alone may change them.

    Two marks of one `since` are equal when, and only when, nothing was written in between.
    """

    since: str
    state: str
    until: datetime | None

    def holds(self, session: Session) -> bool:
        """Say whether what was decided at this mark is what would be decided now."""
        now, at = _look(session, self.since)
        return now.state == self.state and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Everybody:
    """The identifiers that may be analysed, whose each is, and how many people are left out why."""

    identifiers: Ids
    people: Ids
    excluded: Mapping[str, int]
    mark: Mark


_Kept = OrderedDict[tuple[Any, ...], Everybody]
_kept: WeakKeyDictionary[Any, _Kept] = WeakKeyDictionary()
_lock = Lock()


def everybody(session: Session, purpose: str) -> Everybody:
    """Return who may be analysed for a purpose now, as `permissions(use="analyse")` decides.

    What this process has decided before is taken when nothing that it rests on has changed since:
    no record of consent, restriction, age, merge, split or erasure, and none lapsed. To look costs
    a tenth of a second for 750,000 identifiers; to decide, some seconds. Raises PurposeNotFound.
    """
    found = consent.catalogue.purpose(session, purpose)
    asked = parameters(found, None, use="analyse")
    who = unit(found) if found.linkable else "identifier_id"
    key = (who, *sorted((name, repr(value)) for name, value in asked.items()))
    with _lock:
        kept = _kept.setdefault(session.get_bind().engine, OrderedDict())
        known = kept.get(key)
    if known is not None and known.mark.holds(session):
        with _lock:
            if key in kept:
                kept.move_to_end(key)
        return known
    with _lock:
        kept.pop(key, None)  # what an erasure ended stays no longer than until it is seen
    mark, _ = _look(session, None)  # before: what comes in between is found by the next look
    decided = _decide(session, asked, who, mark)
    with _lock:
        kept[key] = decided
        while len(kept) > MOST:
            kept.popitem(last=False)
    return decided


def _look(session: Session, since: str | None) -> tuple[Mark, datetime]:
    row = session.execute(statement("app.consents", "mark"), {"since": since}).one()
    return Mark(row.since, repr(row.mark), row.until), row.now


def _decide(session: Session, asked: dict[str, Any], who: str, mark: Mark) -> Everybody:
    """Decide; ids come packed as eight bytes each, since a million rows take seconds to read."""
    import numpy as np  # noqa: PLC0415  # loaded when an analysis is asked for

    rows = session.execute(
        sa.text(
            f"SELECT reason, allowed, string_agg(int8send(identifier_id), '') AS identifiers,"  # noqa: S608 -- our own text
            f" string_agg(int8send({who}), '') AS people"
            f" FROM ({decision(None).text}) d GROUP BY reason, allowed ORDER BY reason"
        ),
        asked,
    ).all()
    ids = [
        (row.reason, row.allowed, *(np.frombuffer(b, ">i8").astype("i8") for b in row[2:]))
        for row in rows
    ]
    none: Ids = np.empty(0, "i8")
    allowed = [one for one in ids if one[1]]
    people = np.concatenate([none, *(one[3] for one in allowed)])
    return Everybody(
        identifiers=np.concatenate([none, *(one[2] for one in allowed)]),
        people=people,
        excluded=_excluded([(one[0], one[2], one[3]) for one in ids if not one[1]], people),
        mark=mark,
    )


def _excluded(denied: list[tuple[str, Ids, Ids]], allowed: Ids) -> dict[str, int]:
    """Count the people of whom nothing may be used, by the reason of their last identifier."""
    import numpy as np  # noqa: PLC0415  # loaded when an analysis is asked for

    if not denied:
        return {}
    reasons: Ids = np.repeat(np.arange(len(denied)), [len(one[1]) for one in denied])
    identifiers = np.concatenate([one[1] for one in denied])
    people = np.concatenate([one[2] for one in denied])
    out = ~np.isin(people, allowed)
    order = np.lexsort((-identifiers[out], people[out]))
    _, first = np.unique(people[out][order], return_index=True)
    counted: Counter[int] = Counter(reasons[out][order][first].tolist())
    return {denied[place][0]: n for place, n in sorted(counted.items())}
