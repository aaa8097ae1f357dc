"""What the tracking plans find in a batch of events: before it is written, and counted with it."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy.orm import Session

from app.events import planned, special
from app.events.envelope import Rejection
from app.events.item import Item
from app.plans import violations
from app.plans.check import Violation
from app.plans.in_force import Plans


class Finding(NamedTuple):
    """How one event differs from its plan, and why it is refused if it is."""

    version_id: int
    violations: tuple[Violation, ...]
    rejection: Rejection | None


def put(
    session: Session, items: Sequence[Item], plans: Plans
) -> tuple[Sequence[Item], dict[int, Finding]]:
    """Put events to the plans of their sources.

    Return them as they are let in, and what was found by the place of the event. Where no source
    has a plan this is one comparison.
    """
    if not plans.refresh(session):
        return items, {}
    out = list(items)
    found: dict[int, Finding] = {}
    for n, item in enumerate(items):
        plan = plans.of(item.source.id)
        if plan is None:
            continue
        entry, differs = planned.put(plan, item.envelope)
        if isinstance(entry, Rejection):
            kept = special.without(entry, item.envelope, plans.special)
            found[n] = Finding(plan.version_id, differs, kept)
        elif differs:
            found[n] = Finding(plan.version_id, differs, None)
            out[n] = msgspec.structs.replace(item, envelope=entry)
    return out, found


def refused(found: Mapping[int, Finding], denied: Collection[int]) -> dict[int, Rejection]:
    """Return the events that their plan refuses, without those that consent keeps out anyway."""
    return {
        n: finding.rejection
        for n, finding in found.items()
        if finding.rejection is not None and n not in denied
    }


def count(
    session: Session, items: Sequence[Item], found: Mapping[int, Finding], told: Collection[int]
) -> None:
    """Count the violations of the events at these places, in this transaction."""
    violations.record(
        session,
        (
            violations.Found(
                items[n].source.id,
                finding.version_id,
                items[n].envelope.message_id,
                items[n].received_at,
                finding.violations,
            )
            for n, finding in found.items()
            if n in told
        ),
    )
