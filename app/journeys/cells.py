"""The matrix counted over arrays: one pass of the events in order, sums by cell.

Stages are numbered by their order, channels as the journey lists them, and a cell is stage x
channels + channel. Times are whole microseconds (0.95 of 10, 10, 30 and 5 s is 26.999999999999993 s
in doubles, and a person silent for 27 s would be dropped one instant too early).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import duckdb
import numpy as np

from app.journeys.claims import cell_of
from app.journeys.columns import flags, numbers, seen
from app.journeys.groups import by, quantile
from app.journeys.match import Match
from app.journeys.matrix_request import MatrixQuery
from app.journeys.predicate import microseconds
from app.lake.ordered import Array, begins, of

#: How somebody left a stage; `UNKNOWN` where nobody's silence there can be judged.
MOVED, DROPPED, IN_PROGRESS, UNKNOWN = range(4)
#: Elements of the tables of people by cell that are worked on at a time.
PORTION = 1 << 22


@dataclass(frozen=True)
class Left:
    """How people left the stages they reached, or stay in them; one row per person and stage."""

    person: Array
    stage: Array
    cell: Array
    how: Array


class Steps:
    """The events of a journey, in order, with the cell of each.

    `who` is the place of each event's person in `people`; `all_events` counts those that no
    touchpoint claims, too. What is asked is counted when it is asked.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, query: MatrixQuery, as_of: datetime
    ) -> None:
        """Find the cells of the events that happened and were received by `as_of`."""
        events, journey = of(connection), query.journey
        looked = seen(events, as_of, query.range)
        cell = numbers(connection, events, lambda parameters: cell_of(journey, parameters))
        rows = np.flatnonzero(looked & (cell >= 0))
        self.all_events = int(looked.sum())
        self.people = events.people
        self.stages, self.channels = len(journey.stages), len(journey.channels)
        self.cells = self.stages * self.channels
        self.who, self.t = events.who[rows], events.t[rows]
        self.cell = cell[rows].astype(np.uint16 if self.cells < 2**16 else np.int32)
        self.stage, self.channel = (
            part.astype(self.cell.dtype) for part in np.divmod(self.cell, self.channels)
        )
        self.end = microseconds(min(as_of, query.range.end or as_of))
        # Of each person how many of the events here come before their last one that is `lost`.
        self.given_up: Array = np.zeros(len(self.people), np.int64)
        if journey.lost:
            lost = np.flatnonzero(looked & flags(connection, events, Match(any=journey.lost)))
            self.given_up[events.who[lost]] = np.searchsorted(rows, lost)

    @cached_property
    def starts(self) -> Array:
        """Which event is its person's first."""
        return begins(self.who)

    @cached_property
    def followed(self) -> Array:
        """Where the events are that their person's next one comes after."""
        return np.flatnonzero(~self.starts[1:])

    @cached_property
    def visits(self) -> Array:
        """Where the visits begin: neighbouring events in one cell are one."""
        return np.flatnonzero(begins(self.who, self.cell))

    @cached_property
    def idle(self) -> dict[int, int]:
        """The 95th percentile of pauses after events of each stage that any followed."""
        pause = self.t[self.followed + 1] - self.t[self.followed]
        return {
            stage: quantile(values, 0.95) for stage, values in by(self.stage[self.followed], pause)
        }

    @cached_property
    def last(self) -> Array:
        """Where each person's last event is."""
        return np.flatnonzero(np.append(self.starts, True)[1:])

    @cached_property
    def furthest(self) -> Array:
        """The furthest stage of each person with an event."""
        if not len(self.who):
            return self.stage
        return np.maximum.reduceat(self.stage, np.flatnonzero(self.starts))

    @property
    def latest(self) -> Array:
        """The stage of each person's last event."""
        return self.stage[self.last]

    def portions(self, width: int) -> Iterator[tuple[slice, Array, int]]:
        """Yield rows of whole people, the place of each row's person in the portion, and how many
        people there are: so many that a table of them by `width` stays small.
        """
        firsts: Array = np.append(np.flatnonzero(self.starts), len(self.who))
        many = max(1, PORTION // max(width, 1))
        for first in range(0, len(firsts) - 1, many):
            last = min(first + many, len(firsts) - 1)
            rows = slice(int(firsts[first]), int(firsts[last]))
            person: Array = np.repeat(np.arange(last - first), np.diff(firsts[first : last + 1]))
            yield rows, person, last - first

    @cached_property
    def profiles(self) -> tuple[Array, Array, Array]:
        """How many people were in each cell, in each stage, and on each channel."""
        sizes = (self.cells, self.stages, self.channels)
        found: list[Array] = [np.zeros(size, np.int64) for size in sizes]
        for rows, person, people in self.portions(self.cells):
            there: Array = np.zeros(people * self.cells, np.bool_)
            there[person * self.cells + self.cell[rows]] = True
            there = there.reshape(people, self.stages, self.channels)
            found[0] += there.sum(axis=0).ravel()
            found[1] += there.any(axis=2).sum(axis=0)
            found[2] += there.any(axis=1).sum(axis=0)
        return found[0], found[1], found[2]

    @cached_property
    def repeaters(self) -> Array:
        """How many people came to each cell twice or more."""
        found: Array = np.zeros(self.cells, np.int64)
        visit: Array = np.zeros(len(self.who), np.bool_)
        visit[self.visits] = True
        for rows, person, people in self.portions(self.cells):
            place = (person * self.cells + self.cell[rows])[visit[rows]]
            times = np.bincount(place, minlength=people * self.cells)
            found += (times.reshape(people, self.cells) > 1).sum(axis=0)
        return found

    @cached_property
    def _reached(self) -> tuple[Array, Left]:
        """The first cell of each person in each stage they reached, and how they left it."""
        firsts, parts = [], []
        nowhere = len(self.who)
        patience: Array = np.full(self.stages, -1)
        for stage, idle in self.idle.items():
            patience[stage] = idle
        silent = self.end - self.t[self.last]
        begun = 0
        for rows, person, people in self.portions(self.stages):
            place, where = person * self.stages + self.stage[rows], np.arange(rows.start, rows.stop)
            # Of several rows at one place the last that is assigned stays.
            first: Array = np.full(people * self.stages, nowhere)
            first[place[::-1]] = where[::-1]
            firsts.append(first[first < nowhere])
            first = first.reshape(people, self.stages)
            later: Array = np.full((people, self.stages), nowhere)
            later[:, :-1] = np.minimum.accumulate(first[:, :0:-1], axis=1)[:, ::-1]
            before = where < later.ravel()[place]
            final: Array = np.full(people * self.stages, -1)
            final[place[before]] = where[before]
            there = np.flatnonzero(final >= 0)
            persons, stage = np.divmod(there, self.stages)
            wait = patience[stage]
            how = np.where(silent[begun + persons] > wait, DROPPED, IN_PROGRESS)
            how = np.where(wait < 0, UNKNOWN, how)
            final = final[there]
            how = np.where(self.given_up[self.who[final]] > final, DROPPED, how)
            how = np.where(later.ravel()[there] < nowhere, MOVED, how)
            parts.append((self.who[final], stage, self.cell[final], how))
            begun += people
        none: list[Array] = [np.empty(0, np.int64)]
        left = (np.concatenate([*none, *column]) for column in zip(*parts, strict=True))
        return (
            self.cell[np.concatenate([*none, *firsts])],
            Left(*left) if parts else Left(*(none * 4)),
        )

    @property
    def openings(self) -> Array:
        """How many people came to a stage first in each cell."""
        return np.bincount(self._reached[0], minlength=self.cells)

    @property
    def left(self) -> Left:
        """How people left the stages they reached."""
        return self._reached[1]

    @cached_property
    def dwells(self) -> dict[int, Array]:
        """How long visits took that another followed, by cell."""
        at = self.visits
        same = np.flatnonzero(self.who[at[1:]] == self.who[at[:-1]])
        return dict(by(self.cell[at[same]], self.t[at[same + 1]] - self.t[at[same]]))

    @cached_property
    def moves(self) -> Array:
        """How often the next event came on another channel, by cell and that channel."""
        there = self.followed
        following = self.channel[there + 1]
        there, following = (
            column[following != self.channel[there]] for column in (there, following)
        )
        place = self.cell[there].astype(np.int64) * self.channels + following
        return np.bincount(place, minlength=self.cells * self.channels).reshape(
            self.cells, self.channels
        )
