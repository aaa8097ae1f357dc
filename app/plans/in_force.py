"""The plans that hold now, by source, each version compiled once per writer."""

import logging
import time
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement
from app.plans import definition, special
from app.plans.check import Plan
from app.plans.tables import TrackingPlan, TrackingPlanVersion

log = logging.getLogger("parcours.plans")

#: How long an answer is believed: so long may it take until a published version holds everywhere.
SECONDS = 2.0


class Plans:
    """The plans in force, as one writer of events knows them. Use from one thread."""

    def __init__(self) -> None:
        """Know none."""
        self._until = 0.0
        self._versions: set[int] = set()
        self._in_force: dict[int, Plan] = {}
        #: By id of their version; None is one that cannot be used.
        self._compiled: dict[int, Plan | None] = {}
        #: The names that any plan in force declares to be of a special category.
        self.special: special.Labels = {}

    def refresh(self, session: Session) -> bool:
        """Ask anew which plans hold, unless that is known, and say whether there is any.

        A version never changes, so its compiled form is never stale.
        """
        if time.monotonic() >= self._until:
            rows = session.execute(statement("app.plans", "in_force")).all()
            versions = {row.version_id for row in rows}
            if versions != self._versions:
                self.special, self._versions = _special(session, versions), versions
            self._compiled = {
                row.version_id: self._compiled[row.version_id]
                if row.version_id in self._compiled
                else _load(session, row.version_id)
                for row in rows
            }
            plans = ((row.source_id, self._compiled[row.version_id]) for row in rows)
            self._in_force = {source_id: plan for source_id, plan in plans if plan is not None}
            self._until = time.monotonic() + SECONDS
        return bool(self._in_force)

    def of(self, source_id: int) -> Plan | None:
        """Return the plan that a source's events are put to; None when it has none."""
        return self._in_force.get(source_id)


def _special(session: Session, versions: Collection[int]) -> special.Labels:
    """Return what these versions declare, those too whose schemas cannot be used."""
    query = sa.select(TrackingPlanVersion.definition).where(TrackingPlanVersion.id.in_(versions))
    told = [
        rule[place]
        for one in session.scalars(query)
        for rule in one.get("rules", ())
        for place in ("properties", "traits", "context")
        if rule.get(place)
    ]
    return special.labels(told)


def of_version(plan: TrackingPlan, version: TrackingPlanVersion) -> Plan:
    """Return a version, drafts included, compiled."""
    return Plan(
        definition.Definition.model_validate(version.definition),
        key=plan.key,
        number=version.number,
        version_id=version.id,
    )


def _load(session: Session, version_id: int) -> Plan | None:
    row = session.execute(
        sa.select(TrackingPlan, TrackingPlanVersion)
        .join(TrackingPlanVersion, TrackingPlanVersion.plan_id == TrackingPlan.id)
        .where(TrackingPlanVersion.id == version_id)
    ).one_or_none()
    if row is None:
        return None  # removed since
    plan, version = row
    try:
        return of_version(plan, version)
    except ValueError:
        # It could be used when it was published. Events are worth more than their check: no
        # sender is refused because another release of the validator reads a schema differently.
        log.error("plan %s version %d cannot be used; its events go unchecked", plan.key,
                  version.number)  # fmt: skip
        return None
