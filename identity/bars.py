"""Match weights as a waterfall: PURE. Where each bar starts and ends, and what they sum to."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Weights that are not of a compared field, in the order in which they are shown.
PRIOR, HOUSEHOLD = "prior", "household"


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of a waterfall: how much a comparison speaks for one person, in bits.

    `level` is the degree of agreement, None where it is not known any more. The bar reaches from
    `start` to `end`, which is `start` and `weight`.
    """

    name: str
    level: str | None
    weight: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The prior, one bar for each comparison that speaks, the household: they sum to the weight."""

    weight: float
    probability: float
    bars: tuple[Bar, ...]


def of_evidence(
    evidence: Mapping[str, float], levels: Mapping[str, str], *, probability: float | None = None
) -> Waterfall:
    """Return the waterfall of stored weights: the prior, then fields by strength, the household."""
    fields = [name for name in evidence if name not in (PRIOR, HOUSEHOLD)]
    fields.sort(key=lambda name: (-abs(evidence[name]), name))
    order = [n for n in (PRIOR, *fields, HOUSEHOLD) if n in evidence]
    bars, at = [], 0.0
    for name in order:
        bars.append(Bar(name, levels.get(name), evidence[name], at, at + evidence[name]))
        at += evidence[name]
    if probability is None:
        probability = 1 / (1 + 2.0 ** min(-at, 1000))
    return Waterfall(at, probability, tuple(bars))
