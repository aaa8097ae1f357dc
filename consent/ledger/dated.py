"""Whether the time at which a record says it was recorded fits its place in the ledger.

Records get their place when they are committed and become entries in that order, however long the
sealer stood still. So a record that is dated long before records in front of it, or before a
checkpoint that would have had it, was given its time by hand.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

#: Entries of one step of the sealer at most; where a step is full, others were left waiting.
FULL = 5_000
#: Between two records in order: as long as a transaction runs, or a server's clock is slow.
OUT_OF_ORDER = timedelta(hours=1)
#: Between a record and a checkpoint without it: as long as a transaction holds back the sealer.
HELD_BACK = timedelta(days=1)


class Dated:
    """Holds the time of each entry in turn against those before it."""

    def __init__(self, sizes: Iterable[int]) -> None:
        """`sizes` are those of the checkpoints."""
        steps = pairwise(sorted({0, *sizes}))
        self._whole = {last for first, last in steps if last - first < FULL}
        self._logged: datetime | None = None
        self._recorded: datetime | None = None
        self._sealed: datetime | None = None

    def wrong(self, index: int, logged: datetime, recorded: str | None) -> str | None:
        """Say what is wrong with the time of a record; None where nothing is, or it is no record.

        Raises ValueError for what is no time.
        """
        if index in self._whole:
            self._sealed = self._logged
        self._logged = logged
        if recorded is None:
            return None
        at = datetime.fromisoformat(recorded)
        if at > logged + OUT_OF_ORDER:
            return f"is dated {recorded}, after it was sealed"
        if self._recorded is not None and at < self._recorded - OUT_OF_ORDER:
            return f"is dated {recorded}, long before records in front of it"
        if self._sealed is not None and at < self._sealed - HELD_BACK:
            return f"is dated {recorded}, long before a checkpoint that lacks it"
        self._recorded = max(at, self._recorded or at)
        return None
