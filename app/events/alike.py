"""Events of one batch that say the same: what is decided of one of them holds for all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.access.sources import SourceSettings
from app.events.item import Item, Speaker, speaking
from app.events.memory import Memory
from consent.signals.segment import PREFERENCE_EVENT
from consent.signals.stamp import Stamp


@dataclass(slots=True, eq=False)
class Alike:
    """Events of one source that carry the same identifiers and the same consent stamp.

    A visitor's session is five to ten of them. `numbers` are their places in the batch, in order;
    `speakers` those of the identifiers on whose behalf their consent speaks. `lifted` are the
    purposes of a universal opt-out that all of these have overridden.
    """

    source: SourceSettings
    stamp: Stamp
    identifiers: Sequence[Speaker]
    speakers: tuple[Speaker, ...]
    numbers: list[int] = field(default_factory=list)
    lifted: frozenset[str] = frozenset()

    @property
    def refused(self) -> frozenset[str]:
        """The purposes that these events refuse by what they say themselves."""
        return self.stamp.refused | (self.stamp.opt_out - self.lifted)


def grouped(items: Iterable[Item], memory: Memory, now: datetime) -> list[Alike]:
    """Return the events of a batch by what they say, each in one group."""
    # By the objects themselves: the settings of a source may change within a batch, and the groups
    # hold on to them, so no id stands for two.
    groups: dict[tuple[int, bytes, bytes, bool, Sequence[Speaker]], Alike] = {}
    for n, item in enumerate(items):
        envelope = item.envelope
        identifiers, asks = envelope.identifiers, envelope.name == PREFERENCE_EVENT
        words, beside = bytes(envelope.consent), bytes(envelope.signals)
        key = (id(item.source), words, beside, asks, identifiers)
        group = groups.get(key)
        if group is None:
            stamp = memory.stamp(item.source, words, beside, answer=asks, now=now)
            group = Alike(item.source, stamp, identifiers, speaking(identifiers))
            groups[key] = group
        group.numbers.append(n)
    return list(groups.values())
