"""Probabilities corrected by decided pairs, never out of order: PURE."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Bins of half a bit of log odds, from a chance of 1 in 257 to 1 in 16,385 against.
BITS = [bits / 2 for bits in range(-16, 29)]
#: In each bin the model's own word counts as this many decided pairs.
MODELS_WORD = 10.0


@dataclass(frozen=True, slots=True)
class Curve:
    """What share of pairs match by the probability that is said; straight between the points.

    Both ascend, `said` strictly, from 0 to 1. The identity has the points (0, 0) and (1, 1).
    """

    said: tuple[float, ...] = (0.0, 1.0)
    true: tuple[float, ...] = (0.0, 1.0)

    def at(self, probability: float) -> float:
        """Return the share of pairs that match, of those of this probability."""
        place = min(bisect_right(self.said, probability), len(self.said) - 1)
        return _between(probability, self.said, self.true, place)

    def least(self, share: float) -> float:
        """Return the lowest probability of which at least this share of pairs match."""
        place = next((i for i, true in enumerate(self.true) if true >= share), len(self.true) - 1)
        if place == 0:
            return self.said[0]
        return _between(share, self.true, self.said, place)


IDENTITY = Curve()


def fit(decided: Iterable[tuple[float, bool]]) -> Curve:
    """Return the curve through decided pairs (probability, match), by pooling adjacent violators.

    Bins without any keep the model's word. Ayer et al. (1955); Zadrozny and Elkan (2002).
    """
    sums: list[tuple[float, float, int]] = [(0.0, 0.0, 0)] * (len(BITS) + 1)
    for probability, match in decided:
        place = bisect_right(BITS, _bits(probability))
        of_all, of_true, count = sums[place]
        sums[place] = of_all + probability, of_true + match, count + 1
    said: list[float] = []
    true: list[float] = []
    weights: list[float] = []
    for place, (of_all, of_true, count) in enumerate(sums):
        middle = of_all / count if count else _middle(place)
        said.append(middle)
        true.append((of_true + MODELS_WORD * middle) / (count + MODELS_WORD))
        weights.append(count + MODELS_WORD)
    return Curve((0.0, *said, 1.0), (0.0, *_pooled(true, weights), 1.0))


def _bits(probability: float) -> float:
    bounded = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log2(bounded / (1 - bounded))


def _middle(place: int) -> float:
    bits = BITS[0] - 1 if place == 0 else BITS[place - 1] + 0.25
    return float(1 / (1 + 2.0**-bits))


def _pooled(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the closest ascending values: neighbours out of order share their mean."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, of_a, n), (b, of_b, m) = pools[-2:]
            pools[-2:] = [((a * of_a + b * of_b) / (of_a + of_b), of_a + of_b, n + m)]
    return [value for value, _, count in pools for _ in range(count)]


def _between(x: float, xs: Sequence[float], ys: Sequence[float], place: int) -> float:
    low, high = xs[place - 1], xs[place]
    if high == low:
        return ys[place]
    return ys[place - 1] + (x - low) / (high - low) * (ys[place] - ys[place - 1])
