"""What a step of a plan is given, and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.db import Sessions
from app.privacy.subject import Subject
from app.settings import Settings

DONE, NOT_PRESENT, RETAINED, NOT_SUPPORTED = "done", "not_present", "retained", "not_supported"
WAITING, FAILED, OPEN = "waiting", "failed", "open"


@dataclass(frozen=True, slots=True)
class Work:
    """One task of a request as it stands, outside any transaction."""

    sessions: Sessions
    settings: Settings
    request_id: UUID
    kind: str
    subject: Subject
    details: dict[str, Any]
    now: datetime
    target: str = ""
    #: What the last try of the task has noted.
    result: dict[str, Any] = field(default_factory=dict)
    #: What was found when the plan was made.
    received_at: datetime | None = None
    #: Finds out whose request it is, and writes it down, in a transaction that holds the graph.
    anew: Callable[[Session], Subject] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task; `result` is shown to the officer and names nobody."""

    state: str = DONE
    result: dict[str, Any] = field(default_factory=dict)
    #: When to look again, in seconds, where it waits.
    again: float = 5.0
    #: More tasks that turned out to be needed, as (store, target, result).
    more: tuple[tuple[str, str, dict[str, Any]], ...] = ()


Step = Callable[[Work], Outcome]
