"""What is said of groups of rows: arrays in, one figure per group out."""

from collections.abc import Iterator
from itertools import pairwise
from math import floor

import numpy as np

from app.lake.ordered import Array, begins


def by(key: Array, values: Array) -> Iterator[tuple[int, Array]]:
    """Yield each key and its values, by key."""
    order = np.argsort(key, kind="stable")  # of 16 bits, as keys mostly are, takes one pass
    sorted_ = key[order]
    edges: Array = np.append(np.flatnonzero(begins(sorted_)), len(sorted_))
    for first, last in pairwise(edges.tolist()):
        yield int(sorted_[first]), values[order[first:last]]


def quantile(values: Array, share: float) -> int:
    """Return the quantile (type 7) of whole numbers, rounded to the nearest, a half up.

    To the last digit what DuckDB's `round(quantile_cont(…))` says.
    """
    return quantiles(values, share)[0]


def quantiles(values: Array, *shares: float) -> list[int]:
    """Return several quantiles of the same numbers."""
    last = len(values) - 1
    lows = [floor(last * share) for share in shares]
    sorted_ = np.partition(values, sorted({min(low + k, last) for low in lows for k in (0, 1)}))
    found = []
    for low, share in zip(lows, shares, strict=True):
        below, above = float(sorted_[low]), float(sorted_[min(low + 1, last)])
        exact = below + (above - below) * (last * share - low)
        whole = floor(exact)
        found.append(whole + (exact - whole >= 0.5))
    return found
