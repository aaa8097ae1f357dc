"""Entries whose record is gone: no more of them than erasures say in the ledger itself.

An erasure leaves an entry with neither record nor sealed text. So does whoever deletes one record
and what was sealed of it, such as the withdrawal that is in the way. But what erasures deleted is
counted in entries that checkpoints cover, and one more than that was deleted by none of them.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

#: What an erasure did, in words of the ledger: it began, and it deleted so many records.
ERASED, FORGOTTEN = frozenset({"erased", "erased_again"}), "forgotten"
KINDS = ("consent", "restriction")


class Gone:
    """Counts entries without a record, and those that erasures account for."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._missing: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._uncounted: set[str] = set()

    def missing(self, kind: str, index: int) -> None:
        """Note an entry of which neither record nor sealed text is there."""
        if kind in KINDS:
            self._missing[kind] += 1
            self._first.setdefault(kind, index)

    def stated(self, said: Mapping[str, Any]) -> None:
        """Note what an entry says of an erasure."""
        erasure, what = str(said.get("erasure")), said.get("what")
        if what in ERASED:
            self._uncounted.add(erasure)
        elif what == FORGOTTEN:
            self._uncounted.discard(erasure)
            for kind in KINDS:
                number = str(said.get(kind, ""))
                self._told[kind] += int(number) if number.isascii() and number.isdigit() else 0

    def wrong(self) -> list[str]:
        """Say what no erasure deleted; nothing where one of an earlier version counted nothing."""
        if self._uncounted:
            return []
        return [
            f"{more} records of {kind} were deleted by no erasure, of the entries from "
            f"{self._first[kind]} on"
            for kind in KINDS
            if (more := self._missing[kind] - self._told[kind]) > 0
        ]
