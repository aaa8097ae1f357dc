"""Exact quantiles of a few numbers, as R's and NumPy's usual one (type 7); pure."""

from collections.abc import Iterable
from math import floor


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return the quantile; None of nothing (Hyndman and Fan 1996, definition 7)."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = (len(ordered) - 1) * share
    low = floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
