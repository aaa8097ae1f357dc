"""How one way through a journey differs from its target: the fewest deviations that explain it.

An alignment as in process mining (van der Aalst, Adriansyah and van Dongen 2012), with costs that
are all one, and a touchpoint that comes too early or too late told as out of order instead of
once as skipped and once as inserted. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.journeys.definition import Journey

Kind = Literal[
    "skipped", "inserted", "forbidden", "repeated", "out_of_order", "wrong_channel", "late"
]
KINDS: tuple[Kind, ...] = (
    "skipped",
    "inserted",
    "forbidden",
    "repeated",
    "out_of_order",
    "wrong_channel",
    "late",
)

#: A deviation weighs more than all nodes that could be found: of alignments with as many of them
#: the one with the most nodes is taken.
_ONE = 10_000
#: Touchpoints of one way that are looked at; who has more is compared up to there.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the target, ready to be compared with: which touchpoints are it, or nearly."""

    touchpoint: str
    fits: frozenset[str]
    nearly: frozenset[str]
    optional: bool
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """A target, ready to be compared with. `delays` are (from, to, microseconds), by node."""

    places: tuple[Place, ...]
    forbidden: frozenset[str]
    delays: tuple[tuple[int, int, int], ...]
    inactivity: int | None

    @property
    def nodes(self) -> frozenset[str]:
        """The touchpoints that are some node, in the right channel or not."""
        return frozenset().union(*(place.fits | place.nearly for place in self.places))

    @property
    def last(self) -> frozenset[str]:
        """The touchpoints that end the journey."""
        return self.places[-1].fits | self.places[-1].nearly


@dataclass(frozen=True, slots=True)
class Deviation:
    """One difference: at which node, or by which touchpoint; `at` is its place in the way.

    Of what is skipped, `at` is what came instead of it, none at the end of a way that is over.
    """

    kind: Kind
    touchpoint: str
    at: int | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """What of a way is which node, what differs, and the first node that is still to come."""

    matched: dict[int, int]
    deviations: tuple[Deviation, ...]
    pending: int
    worst: int

    def fit(self, late: int = 0) -> float:
        """Return 1 for the target itself, 0 for what has nothing of it."""
        return 1 - (len(self.deviations) + late) / self.worst if self.worst else 1.0


def rules(journey: Journey) -> Rules:
    """Prepare a journey's target; the journey has one."""
    target = journey.target
    if target is None:
        raise ValueError("the journey has no target")
    points = {point.id: point for point in journey.touchpoints}
    wanted = {node.touchpoint for node in target.nodes}
    places = []
    for node in target.nodes:
        stage = points[node.touchpoint].stage
        free = [p for p in journey.touchpoints if p.stage == stage and p.id not in wanted]
        free = [p for p in free if p.id not in target.forbidden]
        fits = {p.id for p in free if p.channel in node.channels} | {node.touchpoint}
        nearly = {p.id for p in free if p.channel != points[node.touchpoint].channel} - fits
        places.append(
            Place(
                node.touchpoint,
                frozenset(fits),
                frozenset(nearly),
                node.optional,
                node.repeatable,
            )
        )
    number = {node.touchpoint: place for place, node in enumerate(target.nodes)}
    return Rules(
        tuple(places),
        frozenset(target.forbidden),
        tuple(
            (number[e.start], number[e.end], round(e.max_delay.total_seconds() * 1e6))
            for e in target.edges
        ),
        None if target.inactivity is None else round(target.inactivity.total_seconds() * 1_000_000),
    )


#: What one may do at a point of the comparison, best first where the cost is the same.
_MATCH, _AGAIN, _NEARLY, _PASS, _SKIP, _INSERT = range(6)


def align(rule: Rules, way: Sequence[str], *, over: bool) -> Alignment:
    """Return the alignment of a way with the fewest deviations.

    Among equals the one that finds the most nodes, always the same way. What a way that is not
    over has not come to yet is pending, not skipped.
    """
    size, length = len(rule.places), len(way)
    best = [[0] * (length + 1) for _ in range(size + 1)]
    moves = [[_INSERT] * (length + 1) for _ in range(size + 1)]
    for node in range(size + 1):
        for step in range(length + 1):
            if node or step:
                best[node][step], moves[node][step] = min(_choices(rule, way, best, node, step))
    end = size
    if not over:
        end = min(range(size + 1), key=lambda node: (best[node][length], node))
    matched, found = _told(rule, way, moves, end)
    required = sum(not place.optional for place in rule.places)
    return Alignment(matched, tuple(found), end, required + length + len(rule.delays))


def _choices(
    rule: Rules, way: Sequence[str], best: Sequence[Sequence[int]], node: int, step: int
) -> Iterable[tuple[int, int]]:
    place = rule.places[node - 1] if node else None
    if place is not None and step:
        if way[step - 1] in place.fits:
            yield best[node - 1][step - 1] - 1, _MATCH
        elif way[step - 1] in place.nearly:
            yield best[node - 1][step - 1] + _ONE - 1, _NEARLY
    if place is not None:
        yield (
            (best[node - 1][step], _PASS)
            if place.optional
            else (best[node - 1][step] + _ONE, _SKIP)
        )
    if step:
        again = any(one.repeatable and way[step - 1] in one.fits for one in rule.places[:node])
        yield (best[node][step - 1], _AGAIN) if again else (best[node][step - 1] + _ONE, _INSERT)


def _told(
    rule: Rules, way: Sequence[str], moves: Sequence[Sequence[int]], end: int
) -> tuple[dict[int, int], list[Deviation]]:
    """Read the moves from the end to the beginning, and tell them in the order of the way."""
    matched: dict[int, int] = {}
    skipped: dict[int, int | None] = {}
    inserted: list[int] = []
    found: list[Deviation] = []
    node, step = end, len(way)
    while node or step:
        move = moves[node][step]
        if move in (_MATCH, _NEARLY):
            node, step = node - 1, step - 1
            matched[node] = step
            if move == _NEARLY:
                found.append(Deviation("wrong_channel", way[step], step))
        elif move in (_PASS, _SKIP):
            node -= 1
            if move == _SKIP:
                skipped[node] = step if step < len(way) else None
        else:
            step -= 1
            if move == _INSERT:
                inserted.append(step)
    for step in reversed(inserted):
        moved = next((n for n in sorted(skipped) if way[step] in rule.places[n].fits), None)
        if moved is not None:
            del skipped[moved]
            found.append(Deviation("out_of_order", way[step], step))
        else:
            found.append(Deviation(_why(rule, way[step], matched), way[step], step))
    found += [Deviation("skipped", rule.places[n].touchpoint, at) for n, at in skipped.items()]
    last = len(way)
    return matched, sorted(
        found, key=lambda d: (last if d.at is None else d.at, d.kind, d.touchpoint)
    )


def _why(rule: Rules, touchpoint: str, matched: dict[int, int]) -> Kind:
    if touchpoint in rule.forbidden:
        return "forbidden"
    if any(touchpoint in rule.places[n].fits | rule.places[n].nearly for n in matched):
        return "repeated"
    return "inserted"
