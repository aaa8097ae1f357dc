"""The paths of people over arrays: runs of one label, from anchor to anchor, one row a step."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import duckdb
import numpy as np

from app.journeys.columns import flags, labels, seen
from app.journeys.funnel_request import TimeRange, microseconds_of
from app.journeys.paths_request import CUT, Anchor, PathsRequest
from app.journeys.predicate import microseconds
from app.journeys.routes import label_of
from app.lake.ordered import Array, begins, of

#: How a path ended, by the codes used here.
HOW = ("drop", "in_progress", "continues", "arrived")
DROP, IN_PROGRESS, CONTINUES, ARRIVED = range(4)


@dataclass(frozen=True)
class Runs:
    """Neighbouring events of one label, or each event alone; in the order of people and journeys.

    A unit is a person, or one of their sessions; `idx` counts runs within it from 1. `label` is a
    place in `texts`, which are in order. `unlabelled` events have none and take no part.
    """

    people: Array
    texts: list[str]
    who: Array
    unit: Array
    label: Array
    t: Array
    last_t: Array
    starts: Array
    ends: Array
    unlabelled: int

    @cached_property
    def firsts(self) -> Array:
        """Where units begin."""
        return np.flatnonzero(begins(self.unit))

    @cached_property
    def size(self) -> Array:
        """How many runs each unit has."""
        return np.diff(np.append(self.firsts, len(self.unit)))

    @cached_property
    def idx(self) -> Array:
        """The place of each run in its unit."""
        return np.arange(1, len(self.unit) + 1) - self.firsts[self.unit]


def runs(connection: duckdb.DuckDBPyConnection, request: PathsRequest, as_of: datetime) -> Runs:
    """Return the events that happened and were received by `as_of`, in runs."""
    events = of(connection)
    # Without an anchor the range is that of events.
    free = request.start is None and request.end is None
    looked = seen(events, as_of, request.range if free else TimeRange())
    if request.universe is not None:
        looked &= flags(connection, events, request.universe)
    label, texts = labels(connection, events, lambda parameters: label_of(request, parameters))
    rows = np.flatnonzero(looked & (label >= 0))
    who, t, label = events.who[rows], events.t[rows], label[rows]
    fresh = begins(who)
    if request.session_gap is not None and len(t):
        fresh[1:] |= np.diff(t) > microseconds_of(request.session_gap)
    first = np.flatnonzero(fresh | begins(label)) if request.collapse else np.arange(len(rows))
    last = np.append(first[1:], len(rows)) - 1 if len(rows) else first
    unit: Array = np.cumsum(fresh)
    anchors = [
        np.zeros(len(first), np.bool_)
        if anchor is None or not len(rows)
        else np.logical_or.reduceat(flags(connection, events, anchor.match)[rows], first)
        for anchor in (request.start, request.end)
    ]
    return Runs(
        people=events.people,
        texts=texts,
        who=who[first],
        unit=unit[first] - 1,
        label=label[first],
        t=t[first],
        last_t=t[last],
        starts=anchors[0],
        ends=anchors[1],
        unlabelled=int(looked.sum()) - len(rows),
    )


@dataclass(frozen=True)
class Trails:
    """Paths, ordered by person, and their steps, one after the other.

    Of paths: `who` walks, `first` is where its steps begin, `length` how many they are, `duration`
    in microseconds, `how` it ended, whether it began `earlier` than shown. Of steps: `path`,
    `step` from the anchor, `label` as a place in `texts`, first and last time. `anchored` counts
    the anchors, those without a path included.
    """

    people: Array
    texts: list[str]
    anchored: int
    unlabelled: int
    who: Array
    first: Array
    length: Array
    duration: Array
    how: Array
    earlier: Array
    path: Array
    step: Array
    label: Array
    t: Array
    last_t: Array


def trails(connection: duckdb.DuckDBPyConnection, request: PathsRequest, as_of: datetime) -> Trails:
    """Find the paths that a request asks for."""
    found = runs(connection, request, as_of)
    anchor = _anchors(request, found)
    anchored = len(anchor)
    width = None if request.window is None else microseconds_of(request.window)
    deep = request.max_depth
    end: Array | None = None
    if request.start and request.end:
        ends = np.flatnonzero(found.ends)
        end = np.append(ends, 0)[np.searchsorted(ends, anchor, side="right")]
        arrives = (end > anchor) & (found.unit[end] == found.unit[anchor])
        if width is not None:
            arrives &= found.t[end] - found.t[anchor] <= width
        anchor, end = anchor[arrives], end[arrives]
        first, length = anchor, end - anchor + 1
    elif request.end:
        back = found.idx[anchor] - 1
        back = back if deep is None else np.minimum(back, deep)
        first, length = anchor - back, back + 1
    else:
        ahead = found.size[found.unit[anchor]] - found.idx[anchor]
        ahead = ahead if deep is None else np.minimum(ahead, deep)
        first, length = anchor, ahead + 1
    path: Array = np.repeat(np.arange(len(anchor)), length)
    offset: Array = np.cumsum(length)
    at = np.arange(len(path)) - (offset - length)[path] + first[path]
    step, label, texts = at - anchor[path], found.label[at], found.texts
    kept: Array = np.ones(len(at), np.bool_)
    if end is not None and deep is not None:
        # A path that is too long loses its middle.
        texts = sorted({*texts, CUT}, key=str.encode)
        number = {text: place for place, text in enumerate(texts)}
        label = np.array([*(number[text] for text in found.texts), 0], label.dtype)[label]
        head, tail, left = deep // 2, deep - deep // 2, end[path] - at
        long = (end - anchor > deep)[path]
        kept = ~long | (step <= head) | (left < tail)
        label = np.where(long & (step == head), number[CUT], label)
        step = np.where(long & (step > head), deep - left, step)
    elif end is None and width is not None:
        kept = np.abs(found.t[at] - found.t[anchor[path]]) <= width
    path, step, label, at = path[kept], step[kept], label[kept], at[kept]
    starts: Array = np.flatnonzero(begins(path))
    length = np.diff(np.append(starts, len(path)))
    first, last = at[starts], at[starts + length - 1] if len(at) else at
    return Trails(
        people=found.people,
        texts=texts,
        anchored=anchored,
        unlabelled=found.unlabelled,
        who=found.who[first],
        first=starts,
        length=length,
        duration=found.t[last] - found.t[first],
        how=_how(request, found, microseconds(as_of), anchor, last, step[starts + length - 1]),
        earlier=found.idx[first] > 1,
        path=path,
        step=step,
        label=label,
        t=found.t[at],
        last_t=found.last_t[at],
    )


def _anchors(request: PathsRequest, found: Runs) -> Array:
    """Where paths begin, or end if they have no start."""
    anchor = request.start or request.end
    if anchor is None:
        return found.firsts
    flag = found.starts if request.start else found.ends
    if request.range.start is not None:
        flag = flag & (found.t >= microseconds(request.range.start))
    if request.range.end is not None:
        flag = flag & (found.t < microseconds(request.range.end))
    return _only(anchor, np.flatnonzero(flag), found.unit)


def _only(anchor: Anchor, places: Array, unit: Array) -> Array:
    if anchor.occurrence == "every":
        return places
    fresh = begins(unit[places])
    if anchor.occurrence == "last" and len(places):
        fresh = np.append(fresh[1:], True)
    return places[fresh]


def _how(
    request: PathsRequest, found: Runs, now: int, anchor: Array, last: Array, last_step: Array
) -> Array:
    """How paths ended: they arrived at their end, or continue beyond the depth, or stopped, or may
    go on still.
    """
    if request.end:
        return np.full(len(last), ARRIVED)
    more = found.idx[last] < found.size[found.unit[last]]
    over: Array = np.zeros(len(last), np.bool_)
    if request.window is not None:
        # What follows lies beyond the window.
        over |= more | (found.t[anchor] + microseconds_of(request.window) < now)
    for pause in (request.session_gap, request.inactivity):
        if pause is not None:
            over |= found.last_t[last] + microseconds_of(pause) < now
    how = np.where(over, DROP, IN_PROGRESS)
    if request.max_depth is not None:
        how = np.where((last_step == request.max_depth) & more, CONTINUES, how)
    return how
