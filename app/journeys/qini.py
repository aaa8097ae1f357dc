"""How well a ranking finds those whom a treatment changes: Qini's coefficient (Radcliffe 2007).

People stand in hundredths of the ranking; of each is counted who was treated, who came to the
outcome. So the bootstrap draws counts and not people, and costs nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Parts of the ranking, and how often it is drawn again.
PARTS, DRAWS = 100, 1_000

Array = Any


@dataclass(frozen=True, slots=True)
class Qini:
    """The area between the curve of a ranking and that of chance, with its 95 % interval.

    In outcomes that the treatment brings, per person treated: a tenth of them means that.
    """

    value: float
    interval: tuple[float, float]
    curve: tuple[float, ...]


def qini(scores: Array, treated: Array, came: Array, seed: int) -> Qini:
    """Return the coefficient of a ranking, the highest scores first; ties are drawn by `seed`."""
    dice = np.random.default_rng(seed)
    order = np.lexsort((dice.random(len(scores)), -scores))
    part: Array = np.empty(len(scores), dtype=np.int64)
    part[order] = np.arange(len(scores)) * PARTS // len(scores)
    cell = (part * 2 + treated.astype(np.int64)) * 2 + came.astype(np.int64)
    counts = np.bincount(cell, minlength=PARTS * 4)
    curve = _curve(counts.reshape(1, PARTS, 2, 2))
    drawn = dice.multinomial(len(scores), counts / len(scores), size=DRAWS)
    areas = _area(_curve(drawn.reshape(DRAWS, PARTS, 2, 2)))
    ends: Array = np.quantile(areas, (0.025, 0.975))
    return Qini(
        value=round(float(_area(curve)[0]), 9),
        interval=(round(float(ends[0]), 9), round(float(ends[1]), 9)),
        curve=tuple(round(float(one), 9) for one in curve[0]),
    )


def _curve(counts: Array) -> Array:
    """Outcomes that the treatment brought so far, per person treated in all, after each part.

    `counts` are by draw, part, whether treated and whether the outcome came.
    """
    so_far = counts.cumsum(axis=1)
    n, k = so_far.sum(axis=3), so_far[..., 1]
    control = np.maximum(n[..., 0], 1)
    brought = k[..., 1] - k[..., 0] * n[..., 1] / control
    return brought / np.maximum(n[:, -1:, 1], 1)


def _area(curve: Array) -> Array:
    """The area between each curve and the straight line to its end, by trapezoids."""
    line = np.arange(1, PARTS + 1) / PARTS * curve[:, -1:]
    above = curve - line  # begins at 0, and ends there
    return above.sum(axis=1) / PARTS
