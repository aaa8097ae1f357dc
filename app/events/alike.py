"""Events of one batch that say the same: what is decided of one of them holds for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.access.sources import SourceSettings
from app.events.item import Item, Speaker, speaking
from app.events.memory import Memory
from consent.signals.segment import PREFERENCE_EVENT, Stamp


@dataclass(slots=True, eq=False)
class Alike:
    """Events of one source that carry the same identifiers and the same consent stamp.

    A visitor's session is five to ten of them. `numbers` are their places in the batch, in order;
    `speakers` those of the identifiers on whose behalf their consent speaks.
    """

    source: SourceSettings
    stamp: Stamp
    identifiers: Sequence[Speaker]
    speakers: tuple[Speaker, ...]
    numbers: list[int] = field(default_factory=list)


def grouped(items: Iterable[Item], memory: Memory) -> list[Alike]:
    """Return the events of a batch by what they say, each in one group."""
    # By the objects themselves: the settings of a source may change within a batch, and the groups
    # hold on to them, so no id stands for two.
    groups: dict[tuple[int, bytes, bool, Sequence[Speaker]], Alike] = {}
    for n, item in enumerate(items):
        envelope = item.envelope
        identifiers, asks = envelope.identifiers, envelope.name == PREFERENCE_EVENT
        key = (id(item.source), bytes(envelope.consent), asks, identifiers)
        group = groups.get(key)
        if group is None:
            stamp = memory.stamp(item.source, key[1], snapshot=asks)
            group = Alike(item.source, stamp, identifiers, speaking(identifiers))
            groups[key] = group
        group.numbers.append(n)
    return list(groups.values())
