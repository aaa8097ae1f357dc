"""One event of one source on its way in, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from app.access.sources import SourceSettings
from app.events.envelope import Envelope, Rejection

#: An identifier as (namespace, value) on whose behalf an event's consent speaks.
Speaker = tuple[str, str]
#: Identifiers that an address book also holds: a choice made on a device is not theirs.
ADDRESSES = frozenset({"email", "phone", "device_id"})


def speaking(identifiers: Iterable[Speaker]) -> tuple[Speaker, ...]:
    """Return those of an event's identifiers on whose behalf its consent speaks."""
    return tuple([i for i in identifiers if i[0] not in ADDRESSES])


class Item(msgspec.Struct, frozen=True):
    """One event of one source, on its way in; `imported` if no device sends it now."""

    source: SourceSettings
    envelope: Envelope
    received_at: datetime
    imported: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """What makes it the same event when it comes again."""
        return self.source.id, self.envelope.message_id

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        """The identifiers on whose behalf the event's consent speaks."""
        return speaking(self.envelope.identifiers)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one request brought, in its order: events, and what could not be read as one."""

    source: SourceSettings
    entries: Sequence[Envelope | Rejection]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event: accepted, duplicate or rejected (with code and reason).

    `rejection` is what its tracking plan refused, for whoever appends to keep.
    """

    state: str
    code: str = ""
    message: str = ""
    rejection: Rejection | None = None


ACCEPTED = Outcome("accepted")
DUPLICATE = Outcome("duplicate")
SUPPRESSED = Outcome("rejected", "suppressed", "the data of this person were erased")
