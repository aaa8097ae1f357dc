"""Rates of few people are drawn towards the others': empirical Bayes by moments; pure.

A beta distribution with the mean and the variance of the rates stands for what is known before
anybody is counted (Casella 1985, "An Introduction to Empirical Bayes Data Analysis").
"""

from collections.abc import Sequence
from statistics import fmean, variance


def prior(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return (a, b) of the beta distribution that has the moments of these rates k / n.

    (0, 0), which draws nowhere, where there are fewer than two, or they differ by more than any
    beta distribution can; where they do not differ at all there is nothing to draw.
    """
    rates = [k / n for k, n in counts if n]
    if len(rates) < 2:
        return 0.0, 0.0
    mean, spread = fmean(rates), variance(rates)
    if spread == 0 or spread >= mean * (1 - mean):
        return 0.0, 0.0
    strength = mean * (1 - mean) / spread - 1
    return mean * strength, (1 - mean) * strength


def shrunk(k: int, n: int, prior: tuple[float, float]) -> float:
    """Return (k + a) / (n + a + b)."""
    a, b = prior
    return (k + a) / (n + a + b)
