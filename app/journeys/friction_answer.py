"""What an answer about friction says; and how a score comes about. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AwareDatetime

from app.journeys.definition import Frozen
from app.journeys.friction_request import COMPONENTS, Component, FrictionQuery
from app.journeys.labels import Label
from app.journeys.map_parts import Assessment
from app.journeys.quantiles import quantile
from app.journeys.shrink import prior, shrunk

#: From this score on a touchpoint is one that costs people something.
HIGH = 50.0
#: And below this one it does not.
LOW = 20.0


class FrictionSemantics(Frozen):
    """Every choice behind friction scores."""

    unit: Literal["profile"] = "profile"
    touchpoint: Literal["first match in written order"] = "first match in written order"
    visit: Literal["consecutive journey events of one touchpoint"] = (
        "consecutive journey events of one touchpoint"
    )
    abandonment: Literal["left a stage here for good / left it here and is not in progress"] = (
        "left a stage here for good / left it here and is not in progress"
    )
    slowness: Literal["median seconds from the start of a visit to the next one's"] = (
        "median seconds from the start of a visit to the next one's"
    )
    repetition: Literal["events followed by one of the touchpoint within `within` / events"] = (
        "events followed by one of the touchpoint within `within` / events"
    )
    backtrack: Literal["visits followed by an earlier stage / visits followed by another"] = (
        "visits followed by an earlier stage / visits followed by another"
    )
    escalation: Literal["visits followed by more effort within `within` / visits"] = (
        "visits followed by more effort within `within` / visits"
    )
    failure: Literal["visits during which something failed / visits"] = (
        "visits during which something failed / visits"
    )
    transition: Literal["neighbouring visits; judged among transitions as touchpoints are"] = (
        "neighbouring visits; judged among transitions as touchpoints are"
    )
    voice: Literal["mean distance of scores from the best one, 0 to 1"] = (
        "mean distance of scores from the best one, 0 to 1"
    )
    shrinkage: Literal["rates: (k + a) / (n + a + b), beta prior by moments over touchpoints"] = (
        "rates: (k + a) / (n + a + b), beta prior by moments over touchpoints"
    )
    score: Literal["100 x weighted mean of the components that are present"] = (
        "100 x weighted mean of the components that are present"
    )
    impact: str
    weights: dict[Component, float]
    within: str
    least: int
    opening_hours: bool


class FrictionComponent(Frozen):
    """One reason of a score: `value` (a shrunk rate, or seconds) between `reference` and `worst`.

    `points` is where it lies between both, 0 to 1. `observed` is the rate before it was shrunk.
    Of a component that counts cases, `affected` of `profiles` people had one or more.
    """

    name: Component
    n: int
    observed: float
    value: float
    reference: float
    worst: float
    points: float
    weight: float
    profiles: int | None
    affected: int | None
    bucket: str | None


class FrictionPoint(Frozen):
    """A touchpoint: its score from 0 to 100, null where nothing was seen often enough, and why.

    `absent` names the components that are not in the score and how many observations they had.
    `impact` ranks: score / 100 x profiles x what is at risk of each.
    """

    touchpoint: str
    name: Label | None
    stage: str
    channel: str
    profiles: int
    visits: int
    score: float | None
    components: tuple[FrictionComponent, ...]
    absent: dict[Component, int]
    value_at_risk: float | None
    impact: float | None
    assessment: Assessment | None
    bucket: str


class FrictionMove(Frozen):
    """A way from one touchpoint to the next: its score, null where too little was seen, and why.

    The components are of what happened where it led to, and of the move itself: how long it took,
    how often the same people made it again, whether it leads back or to more effort.
    """

    source: str
    target: str
    switch: bool
    profiles: int
    moves: int
    score: float | None
    components: tuple[FrictionComponent, ...]
    absent: dict[Component, int]
    bucket: str


class Disagreement(Frozen):
    """A touchpoint of which people say one thing and the score another; neither is overwritten."""

    touchpoint: str
    declared: str
    score: float


class FrictionResult(Frozen):
    """An answer about friction; touchpoints by impact, then score; the ways most people take, the
    roughest first, where they were asked for.
    """

    semantics: FrictionSemantics
    touchpoints: tuple[FrictionPoint, ...]
    disagreements: tuple[Disagreement, ...]
    transitions: tuple[FrictionMove, ...]
    as_of: AwareDatetime
    definition_hash: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one component at one touchpoint: `k` of `n`, or a level of `n`.

    `affected` of `profiles` people are behind the `k`.
    """

    n: int
    k: int | None = None
    level: float | None = None
    profiles: int | None = None
    affected: int | None = None


Seen = Mapping[int, Mapping[Component, Observed]]


def observed(places: Iterable[int], rates: Any, dwells: Any, voices: Any) -> Seen:
    """Return what was seen of each place, from the lists of rows that `friction_sql` counts."""
    seen: dict[int, dict[Component, Observed]] = {number: {} for number in places}
    for name, found in rates.items():
        for one in found or ():
            if one["point"] in seen:
                seen[one["point"]][name] = Observed(
                    one["n"], one["k"], profiles=one["profiles"], affected=one["affected"]
                )
    for one in dwells or ():
        if one["n"] and one["point"] in seen:
            seen[one["point"]]["slowness"] = Observed(n=one["n"], level=one["level"] / 1e6)
    for one in voices or ():
        if one["point"] in seen:
            seen[one["point"]]["voice"] = Observed(n=one["n"], level=one["level"])
    return seen


def scored(query: FrictionQuery, seen: Seen) -> dict[int, list[FrictionComponent]]:
    """Return the components of each touchpoint that were seen often enough."""
    found: dict[int, list[FrictionComponent]] = {point: [] for point in seen}
    for name in COMPONENTS:
        here = {
            point: components[name]
            for point, components in seen.items()
            if name in components and components[name].n >= query.least
        }
        values = _values(here)
        for point, value in values.items():
            reference, worst = _bounds(query, name, values.values())
            one = here[point]
            found[point].append(
                FrictionComponent(
                    name=name,
                    n=one.n,
                    observed=one.level if one.k is None else one.k / one.n,
                    value=value,
                    reference=reference,
                    worst=worst,
                    points=_points(value, reference, worst),
                    weight=query.weights.get(name, 1.0),
                    profiles=one.profiles,
                    affected=one.affected,
                    bucket=None,
                )
            )
    return found


def score(components: Sequence[FrictionComponent]) -> float | None:
    """Return 0 to 100; None where no component weighs anything."""
    weights = sum(one.weight for one in components)
    if not weights:
        return None
    return 100 * sum(one.weight * one.points for one in components) / weights


def disagreements(points: Iterable[FrictionPoint]) -> tuple[Disagreement, ...]:
    """Return where the declared assessment and the score do not fit, the furthest first."""
    found = []
    for point in points:
        if point.assessment is None or point.score is None:
            continue
        declared = point.assessment.declared
        good, bad = declared == "enchantment", declared in ("irritant", "rupture")
        if (good and point.score >= HIGH) or (bad and point.score < LOW):
            far = point.score if good else 100 - point.score
            found.append((-far, point.touchpoint, declared, point.score))
    return tuple(
        Disagreement(touchpoint=name, declared=declared, score=value)
        for _, name, declared, value in sorted(found)
    )


def _values(here: Mapping[int, Observed]) -> dict[int, float]:
    rates = {point: (one.k, one.n) for point, one in here.items() if one.k is not None}
    beta = prior(list(rates.values()))
    values = {point: shrunk(k, n, beta) for point, (k, n) in rates.items()}
    levels = {point: one.level for point, one in here.items() if one.level is not None}
    return values | levels


def _bounds(query: FrictionQuery, name: Component, values: Iterable[float]) -> tuple[float, float]:
    """The level that costs nothing, and the one that costs everything."""
    listed = list(values)
    middle, high = quantile(listed, 0.5) or 0.0, quantile(listed, 0.95) or 0.0
    reference = query.references.get(name, middle)
    return reference, query.worst.get(name, max(high, reference))


def _points(value: float, reference: float, worst: float) -> float:
    if worst <= reference:  # no touchpoint is worse than the reference, but for equal ones
        return 0.0 if value <= reference else 1.0
    return min(max((value - reference) / (worst - reference), 0.0), 1.0)
