"""Where people go next from a touchpoint of a journey: looked up in what was counted.

What is kept are counts, of nobody: what fewer than `counting.LEAST` people did is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.db import statement

#: Visits of a touchpoint after a certain other one, for them to say more than all visits of it.
ENOUGH = 30
#: Of each touchpoint so many of those that follow are kept, the most frequent.
MOST = 5


@dataclass(frozen=True, slots=True)
class Next:
    """Where people in a place went next, the most frequent first, and when that was counted."""

    counted_at: datetime
    steps: list[dict[str, Any]]


def next_steps(session: Session, routes: Mapping[str, Sequence[str]]) -> dict[str, Next]:
    """Return of each journey that was counted, by key, where people in this place went next.

    By the last two stops of the route where enough made them, otherwise by the last. `share` is of
    all visits there, those that nothing follows yet included, so that shares need not make one.
    """
    rows = session.execute(
        statement("app.journeys", "next_steps"),
        {
            "journeys": list(routes),
            "befores": [way[-2] if way[1:] else None for way in routes.values()],
            "lasts": [way[-1] if way else None for way in routes.values()],
        },
    )
    found: dict[str, Next] = {}
    for row in rows:  # of each journey that after whatever comes first
        given = 2 if row.before else 1
        steps = [
            {"touchpoint": following, "share": n / row.total, "median_seconds": s, "given": given}
            for following, n, s in row.following or ()
        ]
        found[row.journey] = Next(row.computed_at, steps)
    return found
