"""Which value of a trait wins when several identifiers of one person say different things."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class TraitValue:
    """One value with its provenance: who said it, when, in which event of which source."""

    key: str
    value: Any
    occurred_at: datetime
    event_id: int
    message_id: str
    source: str
    identifier: str


def fold(values: Iterable[TraitValue]) -> dict[str, TraitValue]:
    """Return the winning value of each trait, by key in alphabetical order.

    The latest event wins; of two at the same time the one received last. A trait whose latest
    value is null was removed and does not appear.
    """
    winners: dict[str, TraitValue] = {}
    for value in values:
        best = winners.get(value.key)
        if best is None or (value.occurred_at, value.event_id) > (best.occurred_at, best.event_id):
            winners[value.key] = value
    return {k: winners[k] for k in sorted(winners) if winners[k].value is not None}
