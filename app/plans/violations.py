"""Violations as data: counted per hour with the events' own transaction, listed, forgotten.

Writers append one row for each kind of violation in their batch and never update one, so that
servers do not wait for each other on the row of a common fault; `compact` sums the rows up.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors
from app.db import statement
from app.plans.check import UNPLANNED, Violation
from app.plans.definition import OTHER
from app.plans.tables import PlanViolation, TrackingPlan

#: How long violations are kept.
KEPT = timedelta(days=90)
#: Invented names (events without a rule, properties that are in no schema) that are told apart
#: per source and hour; what goes beyond is counted together.
MOST_INVENTED = 100
#: Rows that one compaction takes at most, so that its transaction stays short.
COMPACTED_AT_ONCE = 50_000


class Found(NamedTuple):
    """What a plan found in one event that was written, or refused, just now."""

    source_id: int
    version_id: int
    message_id: str
    received_at: datetime
    violations: tuple[Violation, ...]


@dataclass(slots=True)
class _Count:
    events: int
    first_at: datetime
    last_at: datetime
    message_id: str


def record(session: Session, found: Iterable[Found]) -> None:
    """Count what was found, with this transaction and once per event and kind.

    Hand in each event once: duplicates and events that consent keeps out are not to be counted.
    """
    counts: dict[tuple[int, int, Violation], _Count] = {}
    invented: Counter[int] = Counter()
    for event in found:
        for violation in event.violations:
            key = (event.source_id, event.version_id, violation)
            if violation.invented and key not in counts:
                invented[event.source_id] += 1
                if invented[event.source_id] > MOST_INVENTED:
                    key = (event.source_id, event.version_id, _together(violation))
            known = counts.get(key)
            if known is None:
                counts[key] = _Count(1, event.received_at, event.received_at, event.message_id)
            else:
                known.events += 1
                known.first_at = min(known.first_at, event.received_at)
                known.last_at = max(known.last_at, event.received_at)
    if counts:
        session.execute(statement("app.plans", "record"), {"rows": _encoded(counts)})


def _together(violation: Violation) -> Violation:
    """Return a violation without the name that its sender invented."""
    if violation.keyword == UNPLANNED:
        return replace(violation, event=OTHER, invented=False)
    return replace(violation, pointer=violation.pointer.rpartition("/")[0] + "/*", invented=False)


def _encoded(counts: dict[tuple[int, int, Violation], _Count]) -> str:
    rows = [
        {
            "source_id": source_id,
            "version_id": version_id,
            "type": violation.type,
            "event": violation.event,
            "pointer": violation.pointer,
            "keyword": violation.keyword,
            "action": violation.action,
            "invented": violation.invented,
            "events": count.events,
            "first_at": count.first_at,
            "last_at": count.last_at,
            "message_id": count.message_id,
        }
        for (source_id, version_id, violation), count in counts.items()
    ]
    return msgspec.json.encode(rows).decode()


def compact(session: Session) -> int:
    """Sum new rows up into their hours and return how many there were. One caller at a time."""
    taken = session.scalar(
        statement("app.plans", "compact"),
        {"limit": COMPACTED_AT_ONCE, "most": MOST_INVENTED, "other": OTHER, "unplanned": UNPLANNED},
    )
    return taken or 0


def forget(session: Session, *, now: datetime) -> None:
    """Delete the violations that are older than they are kept."""
    session.execute(sa.delete(PlanViolation).where(PlanViolation.hour < now - KEPT))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which violations to list; None is every one. The hours from `since` until before `until`."""

    since: datetime
    until: datetime
    source: str | None = None
    version: int | None = None
    type: str | None = None
    event: str | None = None
    keyword: str | None = None
    action: str | None = None


def list_page(
    session: Session, plan: TrackingPlan, wanted: Wanted, *, after: str | None, limit: int
) -> tuple[Sequence[sa.Row[Any]], str | None]:
    """Return a page of the kinds of violation, each with its count, and the next page's cursor."""
    last = cursors.decode(after, int, str, str, str, str, str, str) if after else None
    names = ("version", "source", "type", "event", "pointer", "keyword", "action")
    parameters = {
        **_parameters(plan, wanted),
        "limit": limit + 1,
        "paged": last is not None,
        **{f"after_{n}": p for n, p in zip(names, last or (0, *[""] * 6), strict=True)},
    }
    rows = session.execute(statement("app.plans", "violations"), parameters).all()
    following = None
    if len(rows) > limit:
        row = rows[limit - 1]
        following = cursors.encode(*(getattr(row, name) for name in names))
    return rows[:limit], following


def totals(session: Session, plan: TrackingPlan, wanted: Wanted) -> dict[str, int]:
    """Return how many violations there were, by what was done about them."""
    rows = session.execute(statement("app.plans", "totals"), _parameters(plan, wanted))
    by_action = {row.action: int(row.violations) for row in rows}
    return {
        "violations": sum(by_action.values()),
        **{action: by_action.get(action, 0) for action in ("observed", "dropped", "rejected")},
    }


def _parameters(plan: TrackingPlan, wanted: Wanted) -> dict[str, Any]:
    return {
        "plan_id": plan.id,
        "since": wanted.since,
        "until": wanted.until,
        "source": wanted.source,
        "version": wanted.version,
        "type": wanted.type,
        "event": wanted.event,
        "keyword": wanted.keyword,
        "action": wanted.action,
    }
