"""One person's ways through a journey, and how each stands to the target at a moment; pure.

The same rules as `app.journeys.conformance` says in SQL for everybody; a test holds both to the
same answers on random histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from app.journeys.alignment import LONGEST, Alignment, Deviation, Rules, align

State = Literal["open", "completed", "abandoned"]


@dataclass(frozen=True, slots=True)
class Stop:
    """Neighbouring events at one touchpoint: the first and the last of them, in microseconds."""

    touchpoint: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way through the journey: from the first node one comes to, to the last there is."""

    stops: tuple[Stop, ...]
    state: State


@dataclass(frozen=True, slots=True)
class Late:
    """An edge that took, or takes, longer than it may; `end` is none while it still does.

    `since` is the first microsecond at which it was late.
    """

    start: int
    end: int | None
    edge: tuple[int, int]
    since: int


@dataclass(frozen=True, slots=True)
class Judged:
    """How a way stands to the target. `due` is when the clock alone may change that."""

    alignment: Alignment
    late: tuple[Late, ...]
    due: int | None

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """All differences but those of time."""
        return self.alignment.deviations

    @property
    def fit(self) -> float:
        """From 0 to 1."""
        return self.alignment.fit(len(self.late))


def ways(rule: Rules, events: Iterable[tuple[str, int]], *, now: int) -> list[Way]:
    """Return a person's ways, oldest first, from touchpoints and times in the order of `pos`."""
    found: list[Way] = []
    pieces: list[tuple[bool, list[tuple[str, int]]]] = []
    before: tuple[str, int] | None = None
    nodes, last = rule.nodes, rule.last
    for touchpoint, at in events:
        ended = before is not None and before[0] in last and before[0] != touchpoint
        silent = (
            before is not None and rule.inactivity is not None and at - before[1] > rule.inactivity
        )
        if before is None or ended or silent:
            pieces.append((ended, []))
        pieces[-1][1].append((touchpoint, at))
        before = (touchpoint, at)
    for place, (ended, piece) in enumerate(pieces):
        begins = next((i for i, one in enumerate(piece) if one[0] in nodes), None)
        if begins is None or (ended and piece[begins][0] in last):
            continue  # nothing of the target, or the same end once more
        quiet = rule.inactivity is not None and now - piece[-1][1] > rule.inactivity
        state: State = "open"
        if piece[-1][0] in last:
            state = "completed"
        elif quiet or place < len(pieces) - 1:
            state = "abandoned"
        found.append(Way(_stops(piece[begins:]), state))
    return found


def _stops(piece: Iterable[tuple[str, int]]) -> tuple[Stop, ...]:
    stops: list[Stop] = []
    for touchpoint, at in piece:
        if stops and stops[-1].touchpoint == touchpoint:
            stops[-1] = Stop(touchpoint, stops[-1].first, at)
        else:
            stops.append(Stop(touchpoint, at, at))
    return tuple(stops[:LONGEST])


def judge(rule: Rules, way: Way, *, now: int) -> Judged:
    """Compare a way with the target as it stands at a moment, in microseconds since 1970."""
    over = way.state != "open"
    alignment = align(rule, [stop.touchpoint for stop in way.stops], over=over)
    late, due = [], []
    for one, two, delay in rule.delays:
        if one not in alignment.matched:
            continue
        begun = way.stops[alignment.matched[one]].last
        if two in alignment.matched:
            arrived = way.stops[alignment.matched[two]].first
            if arrived - begun > delay:
                late.append(Late(begun, arrived, (one, two), begun + delay + 1))
        elif two >= alignment.pending and not over:
            if now - begun > delay:
                late.append(Late(begun, None, (one, two), begun + delay + 1))
            else:
                due.append(begun + delay + 1)
    if not over and rule.inactivity is not None:
        due.append(way.stops[-1].last + rule.inactivity + 1)
    return Judged(alignment, tuple(late), min(due, default=None))
