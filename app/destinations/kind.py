"""What a kind of destination is: the interface, and how to add one.

**To add a kind**, write one file with a class that derives from `Kind`, and name it in `kinds.py`:

1. `name`, `settings` and `secrets`: two pydantic models. Both become JSON Schema for operators;
   secrets are sealed in the database and shown to nobody.
2. `address(settings)`: where it sends, as a URL without secrets. Evidence names its host.
3. `targets(settings)`: the fields a mapping may or must fill, with types. `open_targets` lets
   others in as well (custom fields). `template` is the mapping an operator begins with.
4. `preview(setup, records)`: what would be sent, as JSON: the dry run. Touches no network.
5. `send(setup, records, wire)`: send one batch and return an `Outcome` for each record, in order.
   HTTP goes through `wire`, which never raises; another way (files, a database) asks it only
   whether time is over (`late`), and leaves the rest to the next batch (`again`, `NOT_TRIED`).
   Sending the same record again must do no harm: a crash between sending and noting repeats it.

**A kind decides nothing.** The common part (`deciding.py`, `deliver.py`) has asked consent a moment
ago, noted the send as evidence, holds withdrawals back until `send` returns, and does all there is
with outcomes: retries with jitter for 75 hours, `Retry-After`, pauses, order per person, 410.
One batch of a destination is under way at a time, and holds at most one record of a person.

What a record wants is its `intent`:

- `hold`: the receiver may have this person, as `fields` and `segments` say, and nothing else.
- `release`: take back what was sent before (left, withdrew, merged away): `fields` are empty.
- `forget`: the person was erased (GDPR art. 17): delete.
- `tell`: anything else, to those who are told what happened.

`fields` and what a receiver knows the person by (`remote`) exist for kinds with `holds_records`,
which keep a copy of people. Others are told what happened: `type`, `segment`, `reason`, `data`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from app.destinations.wire import Answer, Wire

FieldType = Literal["text", "number", "integer", "boolean", "date", "datetime", "email", "list"]
Intent = Literal["hold", "release", "forget", "tell"]


class Options(BaseModel):
    """Settings or secrets of a kind: frozen, nothing that is not declared, never shown whole."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoSecrets(Options):
    """The kind has none."""


@dataclass(frozen=True, slots=True)
class Target:
    """A field at the receiver that a mapping may fill, or must."""

    type: FieldType = "text"
    required: bool = False
    longest: int | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """One destination of a kind, opened: its secrets are in here, so it is never printed."""

    id: int
    name: str
    url: str
    purpose: str
    segments: tuple[str, ...]
    settings: Any = field(repr=False)
    secrets: Any = field(repr=False)
    #: Fields that are mapped no more, and that records may have from before.
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One message to one destination about one person, decided a moment ago."""

    message_id: str
    type: str
    occurred_at: datetime
    profile_id: str
    intent: Intent
    #: What the message is about, and why who left has left.
    segment: str | None = None
    reason: str | None = None
    #: Those that may be used for the destination's purpose, by namespace; none unless it holds.
    identifiers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: All of the destination's segments that the person is in from now on.
    segments: frozenset[str] = frozenset()
    #: By target, of its type; a target that is mapped and has no value is None.
    fields: Mapping[str, Any] = field(default_factory=dict)
    #: The id by which the receiver knows the person, as an `Outcome` said it before.
    remote: str | None = None
    #: Whether the person withdrew or refused; and whether it did before and agrees again.
    withdrawn: bool = False
    agreed_again: bool = False
    #: What a webhook says of it.
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record.

    `taken`; `again` (later, for 75 hours); `refused` (trying again would not help); `gone` (the
    receiver wants no more at all). The reason names fields and codes, never a value of a person.
    """

    state: Literal["taken", "again", "refused", "gone"]
    reason: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None
    #: The id by which the receiver knows the person from now on, and after a space what else the
    #: kind wants to know; None is the same as before, and an empty one says that there is no record
    #: of the person any more.
    remote: str | None = None
    #: Whether it was refused because another record has the address that was to be this one's.
    another: bool = False
    #: By what the receiver knows records that were this person's and are emptied.
    left: tuple[str, ...] = ()


#: What to come back for: not reached, too early, too many, broken over there.
LATER = frozenset({408, 421, 423, 425, 429, *range(500, 600)})
#: What an operator has to put right; it is tried again meanwhile.
CREDENTIALS = frozenset({401, 402, 403, 407})


def by_status(answer: Answer, *, remote: str | None = None, said: str = "") -> Outcome:
    """Return what an answer means where its status says all: 4xx of the record is refused."""
    if answer.ok:
        return Outcome("taken", status=answer.status, remote=remote)
    reason = f"{answer.error}: {said}" if said else answer.error
    retry = answer.retry_after_seconds
    if answer.status is None or answer.status in LATER | CREDENTIALS or answer.status < 400:
        return Outcome("again", reason, answer.status, retry)
    return Outcome("refused", reason, answer.status)


#: Why an answer that is a success and none of the API's is none: a page of something in between.
UNREADABLE = "the answer does not speak of it"


class Kind(ABC):
    """A kind of destination; see above for how to add one."""

    name: ClassVar[str]
    about: ClassVar[str]
    settings: ClassVar[type[Options]]
    secrets: ClassVar[type[Options]] = NoSecrets
    #: Whether the receiver is shown the secrets, so that nobody may move them to another address.
    secrets_are_sent: ClassVar[bool] = True
    #: Settings that say where records are: they stay while any is there.
    places: ClassVar[frozenset[str]] = frozenset({"url"})
    #: Whether the receiver keeps a record of each person, which follows every change.
    holds_records: ClassVar[bool] = True
    #: Whether the receiver knows people by an address, which is mapped and may change.
    by_address: ClassVar[bool] = False
    #: Most records in one batch.
    batch: ClassVar[int] = 100
    #: Most requests a second, where the operator says nothing else; None for no limit.
    rate: ClassVar[float | None] = None
    #: Whether fields that `targets` does not name may be mapped too.
    open_targets: ClassVar[bool] = True
    #: Fields that the kind writes itself: nothing may be mapped to them.
    own: ClassVar[frozenset[str]] = frozenset()
    #: The mapping to begin with, as `mapping.Mapping` reads it.
    template: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def address(self, settings: Any) -> str:
        """Return where it sends, as a URL that holds no secret."""

    def targets(self, settings: Any) -> Mapping[str, Target]:
        """Return the fields of a receiver, by name."""
        return {}

    def new_secrets(self) -> dict[str, str]:
        """Return secrets that are ours to make; they are shown once."""
        return {}

    def check(self, settings: Any, segments: Sequence[str]) -> None:
        """Check what no single setting shows. Raises ValueError with one sentence."""
        return

    def known_by(self, setup: Setup, record: Record) -> str | None:
        """Return by what the receiver will know a person of whom it has not told an id yet.

        Noted before the first send: one that is cut off may have arrived, and must be taken back.
        """
        return None

    @abstractmethod
    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return what would be sent, for a person to read, without any secret."""

    @abstractmethod
    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Send a batch and return what became of each record, in their order."""
