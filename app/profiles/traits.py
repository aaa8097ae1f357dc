"""Which value of a trait wins when several identifiers of one person say different things."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: When something said counts from: its time, its place in its source, its receipt, its id.
Order = tuple[datetime, int, datetime, int]
#: The place of what has none: after all that have (an envelope's and a cursor's numbers end here).
LAST = 2**62 - 1


def order(
    occurred_at: datetime, received_at: datetime, source_seq: int | None, event_id: int
) -> Order:
    """Return when something said counts from; `project.sql` says the same.

    A clock in the future cannot outrank what is said later. Of equal times the source's own order
    decides, then the receipt (research/journeys.md §4.0).
    """
    place = LAST if source_seq is None else source_seq
    return min(occurred_at, received_at), place, received_at, event_id


@dataclass(frozen=True, slots=True)
class TraitValue:
    """One value with its provenance: who said it, when, in which event of which source."""

    key: str
    value: Any
    occurred_at: datetime
    received_at: datetime
    source_seq: int | None
    event_id: int
    message_id: str
    source: str
    identifier: str

    @property
    def order(self) -> Order:
        """When it counts from."""
        return order(self.occurred_at, self.received_at, self.source_seq, self.event_id)


def fold(values: Iterable[TraitValue]) -> dict[str, TraitValue]:
    """Return the winning value of each trait, by key in alphabetical order.

    The latest event wins; of two at the same time the later in its source, or the one received
    last. One dated into the future counts from when it was received. A trait whose latest value is
    null was removed and does not appear.
    """
    winners: dict[str, TraitValue] = {}
    for value in values:
        best = winners.get(value.key)
        if best is None or value.order > best.order:
            winners[value.key] = value
    return {k: winners[k] for k in sorted(winners) if winners[k].value is not None}
