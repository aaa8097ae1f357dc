# ruff: noqa: S608 - only names of our own become text
"""A purpose's events in the order of journeys, as arrays: what sequences are read from.

A statement that asks for neighbours sorts all events anew, however they lie in a table; in arrays
that are sorted once a neighbour is the next element. What an event says (its properties) is not in
them, and nothing that tells who somebody is but ids.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import duckdb
import numpy as np
import pyarrow as pa

#: Of numpy: one element per event, unless it says otherwise.
Array = Any

#: What is kept of events whose own stamp refused the purpose.
STAMPED = ("person_id", "event_id", "t", "received")
#: Events that are turned into arrays at a time.
PORTION = 1 << 20


class Kind(NamedTuple):
    """What many events have in common."""

    type: str | None
    name: str | None
    source: str | None


@dataclass(frozen=True)
class Stamped:
    """The events whose own stamp refused the purpose, in no order; times in microseconds."""

    person: Array
    event_id: Array
    t: Array
    received: Array


@dataclass(frozen=True)
class Ordered:
    """Events by person and, within each, in the order of journeys (research/journeys.md §4.0).

    `people` has the ids of all who have events, ascending, once; `who` the place of each event's
    person in it. `t` and `received` are microseconds since 1970; `kind` is a place in `kinds`;
    `mark` tells one event of one person from all others. Immutable: readers share it.
    """

    people: Array
    who: Array
    t: Array
    received: Array
    kind: Array
    event_id: Array
    mark: Array
    kinds: tuple[Kind, ...]
    stamped: Stamped

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.t)

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        columns = [self.who, self.t, self.received, self.kind, self.event_id, self.mark]
        if "by_id" in self.__dict__:
            columns += self.by_id
        return sum(one.nbytes for one in columns)

    @cached_property
    def until(self) -> int:
        """The first moment at which all events have happened and been received."""
        return int(max(self.t.max(), self.received.max())) if len(self) else 0

    @cached_property
    def by_id(self) -> tuple[Array, Array]:
        """The ids of events, ascending, and where each event is."""
        places = np.argsort(self.event_id)
        return self.event_id[places], places

    @cached_property
    def kind_table(self) -> pa.Table:
        """The kinds as a table, with the `place` of each."""
        texts = {
            n: pa.array([getattr(k, n) for k in self.kinds], pa.string()) for n in Kind._fields
        }
        return pa.table({"place": pa.array(range(len(self.kinds)), pa.int64()), **texts})

    @cached_property
    def marks(self) -> int:
        """The marks of all events in one number."""
        return int(np.bitwise_xor.reduce(self.mark)) if len(self) else 0

    def known(self, as_of: int) -> Array | None:
        """Which events had happened and been received by a moment; None for all of them."""
        if as_of >= self.until:
            return None
        return (self.t <= as_of) & (self.received <= as_of)

    def places(self, event_id: Array) -> Array:
        """Return where the events of these ids are; all must be among them."""
        ids, places = self.by_id
        return places[np.searchsorted(ids, event_id)]


_known: WeakKeyDictionary[duckdb.DuckDBPyConnection, Callable[[], Ordered]] = WeakKeyDictionary()


@contextmanager
def attached(
    connection: duckdb.DuckDBPyConnection, source: Callable[[], Ordered]
) -> Iterator[None]:
    """Say where the events of a connection's view `event` are to be had in order, meanwhile."""
    _known[connection] = source
    try:
        yield
    finally:
        del _known[connection]  # what is attached may hold the connection itself


def settle(connection: duckdb.DuckDBPyConnection) -> None:
    """End a result that may have further rows: beside one, DuckDB registers and relates nothing."""
    connection.execute("SELECT 1").fetchall()


def of(connection: duckdb.DuckDBPyConnection) -> Ordered:
    """Return the events of a connection's view `event`, read from it unless told otherwise."""
    source = _known.get(connection)
    return source() if source else read(connection, "(SELECT *, false AS stamped FROM event)")


def read(connection: duckdb.DuckDBPyConnection, relation: str) -> Ordered:
    """Read a relation with the columns of `stamped_event` and put its events in order."""
    found = _Reading()
    settle(connection)
    # In order, threads would hold back what they have read.
    connection.execute("SET preserve_insertion_order = false")
    rows = connection.sql(
        f"""SELECT person_id, event_id, type, name, source, epoch_us(occurred_at) AS t,
            epoch_us(received_at) AS received, source_seq, hash(event_id, person_id) AS mark,
            coalesce(stamped, false) AS stamped FROM {relation}"""
    )
    for batch in _ahead(rows.to_arrow_reader(PORTION)):
        found.add(batch)
    connection.execute("RESET preserve_insertion_order")
    return found.sorted()


def _ahead(batches: Iterator[Any]) -> Iterator[Any]:
    """Have the next portion read by a thread of its own while this one is worked on.

    Of ten million events reading takes three seconds and the rest of the loop two.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        following = reader.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = reader.submit(next, batches, None)
            yield batch


class _Reading:
    """Collects portions of events, and sorts them."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Array]] = {
            name: []
            for name in ("person_id", "event_id", "t", "received", "mark", "seq", "unnumbered")
        }
        self.kind: list[Array] = []
        self.kinds: dict[Kind, int] = {}
        self.stamped: list[tuple[Array, ...]] = []

    def add(self, batch: Any) -> None:
        plain = {
            name: batch.column(name).to_numpy(zero_copy_only=False)
            for name in ("person_id", "event_id", "t", "received", "mark", "stamped")
        }
        seq = batch.column("source_seq")
        plain["unnumbered"] = seq.is_null().to_numpy(zero_copy_only=False)
        plain["seq"] = seq.fill_null(0).to_numpy(zero_copy_only=False)
        stamped, kind = plain.pop("stamped"), self._kinds(batch)
        if stamped.any():
            self.stamped.append(tuple(plain[n][stamped] for n in STAMPED))
            plain = {name: column[~stamped] for name, column in plain.items()}
            kind = kind[~stamped]
        for name, column in plain.items():
            self.columns[name].append(column.copy())  # or else the whole portion stays
        self.kind.append(kind)

    def _kinds(self, batch: Any) -> Array:
        """Number what the events of a portion have in common."""
        names, codes = [], np.zeros(batch.num_rows, np.int64)
        for column in ("type", "name", "source"):
            coded = batch.column(column).dictionary_encode()
            values = [*coded.dictionary.to_pylist(), None]
            codes *= len(values)
            codes += coded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
            names.append(values)
        there, places = numbered(codes)
        numbers = []
        for code in there.tolist():
            code, source = divmod(code, len(names[2]))
            kind, name = divmod(code, len(names[1]))
            one = Kind(names[0][kind], names[1][name], names[2][source])
            numbers.append(self.kinds.setdefault(one, len(self.kinds)))
        return np.array(numbers, np.int32)[places]

    def sorted(self) -> Ordered:
        """Put all in order; each column is let go as soon as it is there in order."""
        types = {"mark": np.uint64, "unnumbered": np.bool_}
        column = {
            name: np.concatenate([np.empty(0, types.get(name, np.int64)), *self.columns.pop(name)])
            for name in list(self.columns)
        }
        kinds = tuple(self.kinds)
        small = np.uint16 if len(kinds) < 2**16 else np.int32
        kind = np.concatenate([np.empty(0, small), *(one.astype(small) for one in self.kind)])
        self.kind.clear()
        people, who = numbered(column.pop("person_id"))
        order = _order(who, column, kind, kinds)
        none: Array = np.empty(0, np.int64)
        stamped = [
            np.concatenate([none, *parts])
            for parts in (zip(*self.stamped, strict=True) if self.stamped else ((),) * len(STAMPED))
        ]
        for name in ("seq", "unnumbered"):
            del column[name]
        return Ordered(
            people=people,
            who=who.astype(np.int32)[order],
            kind=kind[order],
            **{name: column.pop(name)[order] for name in list(column)},
            kinds=kinds,
            stamped=Stamped(*stamped),
        )


def numbered(ids: Array) -> tuple[Array, Array]:
    """Return the distinct of some ids, ascending, and where each of all is among them."""
    if len(ids):
        least, most = int(ids.min()), int(ids.max())
        if most - least < max(2**16, len(ids)):
            there, places = _counted(ids - least, most - least + 1)
            return there + least, places
    every = np.sort(ids)
    there = every[np.flatnonzero(begins(every))]
    return there, np.searchsorted(there, ids)


def _counted(codes: Array, size: int) -> tuple[Array, Array]:
    """The same of whole numbers from 0 below a size, which are counted and not sorted."""
    there = np.flatnonzero(np.bincount(codes, minlength=1))
    places: Array = np.zeros(size, np.int64)
    places[there] = np.arange(len(there))
    return there, places[codes]


def begins(*columns: Array) -> Array:
    """Say of each row whether it differs from the one before in any of the columns."""
    found: Array = np.ones(len(columns[0]), np.bool_)
    if len(found):
        found[1:] = False
        for column in columns:
            found[1:] |= column[1:] != column[:-1]
    return found


def _order(who: Array, column: dict[str, Array], kind: Array, kinds: tuple[Kind, ...]) -> Array:
    """Return the places of events by person, time and, where these tie, as their source says."""
    t = column["t"]
    if not len(t):
        return np.empty(0, np.int64)
    width = int(t.max() - t.min()).bit_length()
    if int(who.max()).bit_length() + width < 64:  # one number: sorted some ten times faster
        key = (who << width) | (t - t.min())
        order = np.argsort(key)
        same = ~begins(key[order])
    else:
        order = np.lexsort((t, who))
        same = ~begins(who[order], t[order])
    tied = np.flatnonzero(same | np.append(same[1:], False))
    if len(tied):
        rows = order[tied]
        rank = np.array(list(_ranks(kinds)))[kind[rows]]
        keys = [column[name][rows] for name in ("event_id", "received", "seq", "unnumbered")]
        order[tied] = rows[np.lexsort((*keys, rank, t[rows], who[rows]))]
    return order


def _ranks(kinds: tuple[Kind, ...]) -> Iterator[int]:
    """The place of each kind's source in the order of sources, those without one last."""
    sources = sorted({one.source for one in kinds if one.source is not None}, key=str.encode)
    rank = {source: place for place, source in enumerate(sources)}
    for one in kinds:
        yield len(sources) if one.source is None else rank[one.source]
