# ruff: noqa: S608 - only names of our own become text
"""Keeps a purpose's events in order, and reads anew only whom a change concerns.

Memory of the process, bounded and never written down, as what `app.consents.everybody` decided is:
each question compares what it rests on, and nobody is in it who may not be any more.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import duckdb
import numpy as np
import pyarrow as pa

from app.consents.everybody import Everybody
from app.lake.basis import Basis
from app.lake.ordered import Array, Ordered, Stamped, numbered, read

#: Bytes of events in order that one process keeps, 38 an event; the oldest purposes' go first.
MOST_BYTES = 768 * 2**20
#: Purposes of which they are kept.
MOST = 8
#: Beyond this share of people to be read anew, everybody is.
FEW = 0.25


@dataclass(slots=True)
class _Kept:
    """What was read last, for which basis; the lock is held while it is read anew."""

    lock: Lock
    basis: Basis | None = None
    ordered: Ordered | None = None


Key = tuple[str, Path]
_kept: OrderedDict[Key, _Kept] = OrderedDict()
_lock = Lock()


def in_order(connection: duckdb.DuckDBPyConnection, shown: Basis, purpose: str) -> Ordered:
    """Return the events that a basis shows for a purpose; the connection shows the same ones."""
    if not shown.files:
        return read(connection, "stamped_event")
    key = (purpose, shown.files[0].parent)
    with _lock:
        mine = _kept.setdefault(key, _Kept(Lock()))
        _kept.move_to_end(key)
    with mine.lock:
        if mine.basis is None or mine.ordered is None or not mine.basis.same(shown):
            before, mine.basis = mine.basis, None  # nothing is known of it should reading fail
            mine.ordered = _again(connection, before, mine.ordered, shown)
            mine.basis = shown
        found = mine.ordered
    _forget_oldest()
    return found


def _forget_oldest() -> None:
    with _lock:
        while _kept and (len(_kept) > MOST or _bytes() > MOST_BYTES):
            _kept.popitem(last=False)


def _bytes() -> int:
    return sum(one.ordered.nbytes for one in _kept.values() if one.ordered is not None)


def _again(
    connection: duckdb.DuckDBPyConnection,
    before: Basis | None,
    ordered: Ordered | None,
    shown: Basis,
) -> Ordered:
    """Read everybody, or whom the changes since a basis concern."""
    concerned = None
    if before is not None and ordered is not None:
        concerned = _concerned(connection, before, ordered, shown)
    if ordered is None or concerned is None or len(concerned) > FEW * len(ordered.people):
        return read(connection, "stamped_event")
    if not len(concerned):
        return ordered
    connection.register("concerned", pa.table({"person_id": concerned}))
    news = read(connection, "(FROM stamped_event SEMI JOIN concerned USING (person_id))")
    connection.unregister("concerned")
    return put(_without(ordered, concerned), news)


def _concerned(
    connection: duckdb.DuckDBPyConnection, before: Basis, ordered: Ordered, shown: Basis
) -> Array | None:
    """Return whose events are others than before, ascending; None where that cannot be told.

    Files are never changed: of who is neither in one that came nor in one that went, such as those
    that were put together, nothing is gone but what is listed as removed.
    """
    removed = set(before.removed)
    if not removed <= set(shown.removed):
        return None
    found: list[Array] = [np.empty(0, np.int64)]
    gone: Array = np.array(sorted(set(shown.removed) - removed), np.int64)
    if len(gone):
        ids, places = ordered.by_id
        there = gone[np.isin(gone, ids)]
        found.append(ordered.people[ordered.who[places[np.searchsorted(ids, there)]]])
        found.append(ordered.stamped.person[np.isin(ordered.stamped.event_id, gone)])
    if before.people is not shown.people:
        found.append(_moved(before.people, shown.people))
    others = sorted(set(before.files) ^ set(shown.files))
    if not all(path.exists() for path in others):  # one that went is kept for an hour
        return None
    if others:
        names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in others)
        try:
            rows = connection.sql(
                "SELECT DISTINCT person_id FROM person SEMI JOIN"
                f" read_parquet([{names}]) USING (identifier_id)"
            )
            found.append(rows.fetchnumpy()["person_id"])
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error:  # it went just now, or is damaged: who reads all anew finds that
            return None
    return numbered(np.concatenate(found))[0]


def _moved(before: Everybody, now: Everybody) -> Array:
    """Return the people, of then and of now, of identifiers that are not whose they were."""
    pairs: list[tuple[Array, Array]] = []
    for one in (before, now):
        order = np.argsort(one.identifiers)
        pairs.append((one.identifiers[order], one.people[order]))
    found = []
    for (ids, people), (others, theirs) in (pairs, pairs[::-1]):
        places: Array = np.searchsorted(others, ids)
        inside = places < len(others)
        same: Array = np.zeros(len(ids), np.bool_)
        at = places[inside]
        same[inside] = (others[at] == ids[inside]) & (theirs[at] == people[inside])
        found.append(people[~same])
    return np.concatenate(found)


def _without(ordered: Ordered, people: Array) -> Ordered:
    """Take people out with all their events."""
    stay = ~np.isin(ordered.people, people)
    rows = stay[ordered.who]
    places: Array = np.cumsum(stay) - 1
    kept = ~np.isin(ordered.stamped.person, people)
    return replace(
        ordered,
        people=ordered.people[stay],
        who=places[ordered.who[rows]].astype(np.int32),
        **{name: getattr(ordered, name)[rows] for name in COLUMNS},
        stamped=Stamped(*(one[kept] for one in _stamped(ordered))),
    )


#: The columns that stay as they are when others come between them.
COLUMNS = ("t", "received", "kind", "event_id", "mark")


def put(ordered: Ordered, news: Ordered) -> Ordered:
    """Put the events of people between those of others; nobody has events in both."""
    numbers = {kind: place for place, kind in enumerate(ordered.kinds)}
    moved = [numbers.setdefault(kind, len(numbers)) for kind in news.kinds]
    small = np.uint16 if len(numbers) < 2**16 else np.int32
    people = np.sort(np.concatenate([ordered.people, news.people]))
    old: Array
    new: Array
    old, new = (
        np.searchsorted(people, one.people).astype(np.int32)[one.who] for one in (ordered, news)
    )
    places = np.searchsorted(old, new)
    between: dict[str, Array] = {
        name: np.insert(getattr(ordered, name), places, getattr(news, name))
        for name in COLUMNS
        if name != "kind"
    }
    kind = np.array(moved or [0], small)[news.kind]
    return Ordered(
        people=people,
        who=np.insert(old, places, new),
        kind=np.insert(ordered.kind.astype(small), places, kind),
        **between,
        kinds=tuple(numbers),
        stamped=Stamped(
            *(np.concatenate(both) for both in zip(_stamped(ordered), _stamped(news), strict=True))
        ),
    )


def _stamped(ordered: Ordered) -> Sequence[Array]:
    one = ordered.stamped
    return one.person, one.event_id, one.t, one.received
