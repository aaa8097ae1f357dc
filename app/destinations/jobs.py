"""What was decided about messages: what is sent, or why nothing is."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.destinations.held import Held
from app.destinations.kind import Record


@dataclass(frozen=True, slots=True)
class Job:
    """One message that is sent, and what the receiver holds once it has taken it (or None)."""

    row: sa.Row[Any]
    record: Record
    then: Held | None
    #: Why the message failed although what is sent puts the receiver right.
    failed: str | None = None
    #: Of what is sent.
    told: bytes = b""
    #: What a receiver that keeps records held before, as far as anybody knew.
    before: Held | None = None
    #: What it may hold from when this leaves until it answers, where that is not the same.
    begun: Held | None = None
    #: Other records of this person that are taken back before.
    first: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """One message that is not sent: `dropped`, `failed` or, decided too early, `again`.

    Or `later`, which waits for something of ours, and its attempts are not counted.
    """

    row: sa.Row[Any]
    state: str
    reason: str = ""
