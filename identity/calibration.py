"""Whether pairs that are said to match with probability p do so in a share p of the cases."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: The band around the merge threshold: odds from a quarter to four times its own, in four steps.
#: Around .95 that is .826 to .987.
BAND_BITS = 2
STEPS = 10


@dataclass(frozen=True, slots=True)
class Step:
    """Pairs of similar probability: how many, what was said of them and what is true.

    `predicted` is the mean of their probabilities and `observed` the share that match; both are
    None where there is no pair.
    """

    low: float
    high: float
    pairs: int
    predicted: float | None
    observed: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Deciles of probability, and the expected calibration error over all pairs and in the band.

    The error is the mean, over pairs, of the distance between `predicted` and `observed` of their
    step; None without pairs. Few pairs have an error by chance alone, about .4 / sqrt(pairs).
    """

    pairs: int
    error: float | None
    band_low: float
    band_high: float
    band_pairs: int
    band_error: float | None
    deciles: tuple[Step, ...]


def calibration(pairs: Iterable[tuple[float, bool]], threshold: float) -> Calibration:
    """Compare the probabilities of pairs with whether they match, overall and around a threshold.

    `threshold` lies between 0 and 1, both excluded.
    """
    known = list(pairs)
    deciles = _steps(known, [i / STEPS for i in range(STEPS + 1)])
    middle = math.log2(threshold / (1 - threshold))
    edges = [_probability(middle + bits) for bits in range(-BAND_BITS, BAND_BITS + 1)]
    band = _steps(known, edges)
    return Calibration(
        pairs=len(known),
        error=_error(deciles),
        band_low=edges[0],
        band_high=edges[-1],
        band_pairs=sum(step.pairs for step in band),
        band_error=_error(band),
        deciles=deciles,
    )


def _probability(bits: float) -> float:
    return 1 / (1 + math.exp2(-bits))


def _steps(pairs: Sequence[tuple[float, bool]], edges: Sequence[float]) -> tuple[Step, ...]:
    """Sort pairs into steps; each has its lower edge, the last one both."""
    steps = []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = [(p, m) for p, m in pairs if low <= p < high or (last and p == high)]
        count = len(inside)
        predicted = sum(p for p, _ in inside) / count if count else None
        observed = sum(m for _, m in inside) / count if count else None
        steps.append(Step(low, high, count, predicted, observed))
    return tuple(steps)


def _error(steps: Iterable[Step]) -> float | None:
    wrong, pairs = 0.0, 0
    for step in steps:
        if step.predicted is not None and step.observed is not None:
            wrong += step.pairs * abs(step.predicted - step.observed)
            pairs += step.pairs
    return wrong / pairs if pairs else None
