"""Confidence intervals of shares and of their differences; pure."""

from math import sqrt
from statistics import NormalDist


def z_of(confidence: float) -> float:
    """Return how many standard deviations a two-sided interval reaches."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a share k / n (Wilson 1927), without continuity correction.

    Raises ZeroDivisionError of nobody.
    """
    z = z_of(confidence)
    share = k / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(k1: int, n1: int, k2: int, n2: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of the difference k1 / n1 - k2 / n2.

    Newcombe 1998, "Interval estimation for the difference between independent proportions",
    method 10: it holds near 0 and 1, where the usual one leaves the range of a share.
    """
    low1, high1 = wilson(k1, n1, confidence)
    low2, high2 = wilson(k2, n2, confidence)
    one, two = k1 / n1, k2 / n2
    difference = one - two
    return (
        difference - sqrt((one - low1) ** 2 + (high2 - two) ** 2),
        difference + sqrt((high1 - one) ** 2 + (two - low2) ** 2),
    )
