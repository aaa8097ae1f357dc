"""Entries whose record is gone: no more of them than keys that were destroyed had sealed.

An erasure leaves an entry with neither record nor sealed text. So does whoever deletes one record
and what was sealed of it, such as the withdrawal that is in the way. But how many entries a key
names is counted while it is there, kept beside it, and entered by the sealer when the key is gone:
of these numbers nobody who has the database alone writes any.

Before there were such numbers, erasures stated themselves how many records they deleted, and at
first not even that. When the sealer begins to count it enters how many were gone by then.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

RECORDS = ("consent", "restriction")
#: Of what is sealed the gone are counted apart: records, and whatever else is stated of somebody.
OTHER = "other"
KINDS = (*RECORDS, OTHER)
#: Events of the sealer's own: from here on it counts; a key was destroyed.
COUNTED, DESTROYED = "erasures_are_counted", "subject_key_destroyed"
#: What an erasure stated before that: it began, and it deleted so many records.
ERASED, FORGOTTEN = frozenset({"erased", "erased_again"}), "forgotten"


def kind(said: Mapping[str, Any]) -> str | None:
    """Return as what an entry is counted; None for one that never had anything sealed."""
    if said.get("type") in RECORDS:
        return str(said["type"])
    return OTHER if "body" in said else None


def numbers(found: Mapping[str, int]) -> dict[str, str]:
    """Return counts by kind as an entry says them."""
    return {kind: str(found.get(kind, 0)) for kind in KINDS}


class Gone:
    """Counts entries without a record, and those that destroyed keys account for."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._missing: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._told: Counter[str] = Counter()
        #: How many were gone when the sealer began to count; None: it has not.
        self._before: Counter[str] | None = None
        #: How many earlier versions said to have deleted by then.
        self._legacy: Counter[str] = Counter()
        self._uncounted: set[str] = set()
        #: The keys that are said to be destroyed, and by which entry.
        self.destroyed: dict[UUID, int] = {}

    def missing(self, index: int, said: Mapping[str, Any]) -> None:
        """Note an entry of which neither record nor sealed text is there."""
        counted = kind(said)
        if counted is not None:
            self._missing[counted] += 1
            self._first.setdefault(counted, index)

    def stated(self, index: int, said: Mapping[str, Any]) -> None:
        """Note what an entry says of erasures and of keys."""
        if said.get("type") == "key_event":
            self._of_keys(index, said)
        elif self._before is None and said.get("type") == "dsr":
            self._of_earlier_versions(said)

    def wrong(self) -> list[str]:
        """Say what was deleted by no erasure."""
        allowed, known = self._told, not self._uncounted
        found = []
        if self._before is not None:
            if known:
                found += self._too_many(self._before, self._legacy, RECORDS)
            allowed, known = self._before + self._told, True
        counted = RECORDS if self._before is None else KINDS
        return found + (self._too_many(self._missing, allowed, counted) if known else [])

    def _of_keys(self, index: int, said: Mapping[str, Any]) -> None:
        if said.get("event") == COUNTED and self._before is None:
            self._before, self._legacy, self._told = _counts(said), self._told, Counter()
        elif said.get("event") == DESTROYED:
            self.destroyed.setdefault(UUID(hex=str(said.get("key"))), index)
            self._told += _counts(said)

    def _of_earlier_versions(self, said: Mapping[str, Any]) -> None:
        erasure, what = str(said.get("erasure")), said.get("what")
        if what in ERASED:
            self._uncounted.add(erasure)
        elif what == FORGOTTEN:
            self._uncounted.discard(erasure)
            self._told += _counts(said)

    def _too_many(
        self, gone: Mapping[str, int], allowed: Mapping[str, int], kinds: Iterable[str]
    ) -> list[str]:
        return [
            f"{more} records of {kind} were deleted by no erasure, of the entries from "
            f"{self._first.get(kind, 0)} on"
            for kind in kinds
            if (more := gone[kind] - allowed[kind]) > 0
        ]


def _counts(said: Mapping[str, Any]) -> Counter[str]:
    told = {kind: str(said.get(kind, "")) for kind in KINDS}
    return Counter({k: int(n) for k, n in told.items() if n.isascii() and n.isdigit()})
