"""How many will have converted by when, with those still under way counted while they were seen.

The Aalen-Johansen estimate of the cumulative incidence (Aalen and Johansen 1978); without
competing ends it is one minus the Kaplan-Meier estimate (Kaplan and Meier 1958). Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class At:
    """How many converted, ended otherwise, or were last seen, at one time after their entry."""

    time: int
    converted: int
    competing: int
    censored: int


def curve(rows: Iterable[At]) -> list[tuple[int, float]]:
    """Return (time, incidence) where it rises, from rows in ascending order of time.

    Who converts at the very time at which somebody was last seen converts before it, as usual.
    """
    ordered = list(rows)
    at_risk = sum(row.converted + row.competing + row.censored for row in ordered)
    surviving, incidence, points = 1.0, 0.0, []
    for row in ordered:
        if row.converted:
            incidence += surviving * row.converted / at_risk
            points.append((row.time, incidence))
        ended = row.converted + row.competing
        surviving *= 1 - ended / at_risk
        at_risk -= ended + row.censored
    return points


def quantile(points: Sequence[tuple[int, float]], share: float) -> int | None:
    """Return the first time by which a share has converted; None when it never has."""
    # The sum of tenths is not exactly one half: a share that is reached but for rounding is.
    return next((time for time, reached in points if reached >= share - 1e-12), None)
