"""The plan that holds for a source now, compiled once per version and process."""

import logging
import threading
from collections import OrderedDict

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement
from app.plans import definition
from app.plans.check import Plan
from app.plans.tables import TrackingPlan, TrackingPlanVersion

#: Compiled versions that a process keeps; the one used longest ago goes first.
MOST_KEPT = 100

log = logging.getLogger("parcours.plans")


class Plans:
    """The plans in force, as one process knows them; safe to use from several threads."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Plan] = OrderedDict()

    def find(self, session: Session, source_id: int) -> Plan | None:
        """Return the plan that a source's events are put to now; None when it has none.

        Callers keep the answer for 2 seconds at most, so that a newly published version holds
        everywhere after that. A version never changes, so its compiled form is never stale.
        """
        version_id = session.scalar(statement("app.plans", "in_force"), {"source_id": source_id})
        if version_id is None:
            return None
        with self._lock:
            known = self._kept.get(version_id)
            if known is not None:
                self._kept.move_to_end(version_id)
                return known
        made = _load(session, version_id)
        if made is None:
            return None
        with self._lock:
            self._kept[version_id] = made
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made


def of_version(plan: TrackingPlan, version: TrackingPlanVersion) -> Plan:
    """Return a version, drafts included, compiled."""
    return Plan(
        definition.Definition.model_validate(version.definition),
        key=plan.key,
        number=version.number,
        version_id=version.id,
    )


def _load(session: Session, version_id: int) -> Plan | None:
    plan, version = session.execute(
        sa.select(TrackingPlan, TrackingPlanVersion)
        .join(TrackingPlanVersion, TrackingPlanVersion.plan_id == TrackingPlan.id)
        .where(TrackingPlanVersion.id == version_id)
    ).one()
    try:
        return of_version(plan, version)
    except ValueError:
        # It could be used when it was published. Events are worth more than their check: no
        # sender is refused because another release of the validator reads a schema differently.
        log.error("plan %s version %d cannot be used; its events go unchecked", plan.key,
                  version.number)  # fmt: skip
        return None
