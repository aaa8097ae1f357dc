"""Where people go next from a touchpoint of a journey: looked up in what was counted.

What is kept are counts, of nobody: what fewer than `counting.LEAST` people did is left out.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.journeys.tables import JourneyFlow

#: Visits of a touchpoint after a certain other one, for them to say more than all visits of it.
ENOUGH = 30
NOBODY: tuple[int, list[Any]] = (0, [])


def next_steps(flow: dict[str, Any], way: Sequence[str], *, most: int = 5) -> list[dict[str, Any]]:
    """Return where people in this place went next, the most frequent first.

    By the last two stops where enough made them, otherwise by the last. `share` is of all visits
    there, those that nothing follows yet included, so that shares need not make one.
    """
    if not way:
        return []
    total, rows = flow["two"].get(way[-2], {}).get(way[-1], NOBODY) if way[1:] else NOBODY
    given = 2
    if total < ENOUGH:
        total, rows = flow["one"].get(way[-1], NOBODY)
        given = 1
    return [
        {"touchpoint": following, "share": n / total, "median_seconds": seconds, "given": given}
        for following, n, seconds in rows
        if following is not None
    ][:most]


def kept(session: Session, journeys: Sequence[str]) -> dict[str, JourneyFlow]:
    """Return what is kept of these journeys, of whatever version."""
    found = session.scalars(sa.select(JourneyFlow).where(JourneyFlow.journey.in_(journeys)))
    return {row.journey: row for row in found}
