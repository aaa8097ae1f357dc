"""How long a destination as a whole rests that said that it is too much or that it is away."""

import random
from collections.abc import Iterable

from app.destinations.kind import Outcome

#: Answers that speak of the receiver and not of the record: too many requests, not available.
BUSY = frozenset({429, 503})
#: The first rest of one that does not say how long, and the longest, in seconds.
FIRST_SECONDS, LONGEST_SECONDS = 10.0, 3_600.0


def rest(outcomes: Iterable[Outcome], in_a_row: int) -> tuple[float, int]:
    """Return for how many seconds to send nothing there, and after how many busy answers in a row.

    `in_a_row` are those before. `Retry-After` is believed; without it each rest is twice the one
    before, with jitter, until something is taken.
    """
    listed = list(outcomes)
    busy = [one for one in listed if one.status in BUSY]
    taken = any(one.state == "taken" for one in listed)
    if not busy:
        return 0.0, 0 if taken else in_a_row
    row = 1 if taken else in_a_row + 1
    asked = [one.retry_after_seconds for one in busy if one.retry_after_seconds is not None]
    if asked:
        return max(asked), row
    doubled = min(FIRST_SECONDS * 2 ** min(row - 1, 20), LONGEST_SECONDS)
    return doubled * random.uniform(1, 1.2), row  # noqa: S311  # jitter
