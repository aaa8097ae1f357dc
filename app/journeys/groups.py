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
    place = (len(values) - 1) * share
    low = floor(place)
    high = min(low + 1, len(values) - 1)
    sorted_ = np.partition(values, (low, high))
    below, above = float(sorted_[low]), float(sorted_[high])
    exact = below + (above - below) * (place - low)
    whole = floor(exact)
    return whole + (exact - whole >= 0.5)
