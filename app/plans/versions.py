"""Tracking plans: written as a draft, published as a version, attached to sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.access import sources
from app.access.tables import Source
from app.errors import (
    TrackingPlanAttached,
    TrackingPlanChanged,
    TrackingPlanExists,
    TrackingPlanNotFound,
    TrackingPlanUnpublished,
)
from app.plans import definition as rules
from app.plans.tables import TrackingPlan, TrackingPlanSource, TrackingPlanVersion


@dataclass(frozen=True, slots=True)
class Overview:
    """A plan with the version in force, the draft that follows it, and its sources by name."""

    plan: TrackingPlan
    published: TrackingPlanVersion | None
    draft: TrackingPlanVersion | None
    sources: Sequence[str]


def create(
    session: Session, *, key: str, title: str, definition: Mapping[str, Any]
) -> TrackingPlan:
    """Make a plan whose first version is a draft.

    Raises DefinitionInvalid, TrackingPlanExists.
    """
    rules.check_key(key)
    wanted = _checked(title, definition)
    added = insert(TrackingPlan).values(key=key, title=title)
    plan: TrackingPlan | None = session.scalar(
        added.on_conflict_do_nothing(index_elements=["key"]).returning(TrackingPlan)
    )
    if plan is None:  # also when somebody else was faster at the same moment
        raise TrackingPlanExists(key)
    session.add(TrackingPlanVersion(plan_id=plan.id, number=1, definition=wanted))
    session.flush()
    return plan


def edit(
    session: Session,
    key: str,
    *,
    title: str,
    definition: Mapping[str, Any],
    revision: int | None = None,
) -> TrackingPlan:
    """Write the draft of a plan: the one that waits, or a new one after the published version.

    Raises TrackingPlanNotFound, DefinitionInvalid; TrackingPlanChanged when the plan is no longer
    at the stated revision.
    """
    wanted = _checked(title, definition)
    plan = _changing(session, key, revision)
    plan.title = title
    last = newest(session, plan)
    if last.published_at is None:
        last.definition = wanted
    else:
        session.add(TrackingPlanVersion(plan_id=plan.id, number=last.number + 1, definition=wanted))
    session.flush()
    return plan


def publish(session: Session, key: str, *, revision: int | None = None) -> TrackingPlanVersion:
    """Put the draft in force for every source of the plan; from then on it never changes.

    Servers follow within 2 seconds. Raises TrackingPlanNotFound, TrackingPlanChanged;
    TrackingPlanUnpublished when no draft waits.
    """
    plan = _changing(session, key, revision)
    last = newest(session, plan)
    if last.published_at is not None:
        raise TrackingPlanUnpublished(f"{key}: version {last.number} is published; no draft waits")
    last.published_at = datetime.now(UTC)
    session.flush()
    return last


def attach(session: Session, key: str, source: str) -> None:
    """Have the events of a source put to this plan, instead of the one it had.

    Raises TrackingPlanNotFound, SourceNotFound; TrackingPlanUnpublished before the first version
    is published.
    """
    plan = _changing(session, key, None)
    if _published(session, plan) is None:
        raise TrackingPlanUnpublished(f"{key}: publish a version first")
    found = sources.find(session, source)
    values = {"plan_id": plan.id, "attached_at": datetime.now(UTC)}
    session.execute(
        insert(TrackingPlanSource)
        .values(source_id=found.id, **values)
        .on_conflict_do_update(index_elements=["source_id"], set_=values)
    )


def detach(session: Session, key: str, source: str) -> None:
    """Stop putting the events of a source to this plan; done before is as good.

    Raises TrackingPlanNotFound, SourceNotFound.
    """
    plan = _changing(session, key, None)
    found = sources.find(session, source)
    session.execute(
        sa.delete(TrackingPlanSource).where(
            TrackingPlanSource.source_id == found.id, TrackingPlanSource.plan_id == plan.id
        )
    )


def remove(session: Session, key: str, *, revision: int | None = None) -> None:
    """Delete a plan, its versions and its violations.

    Raises TrackingPlanNotFound, TrackingPlanChanged; TrackingPlanAttached while a source has it.
    """
    plan = _changing(session, key, revision)
    attached = _sources(session, plan)
    if attached:
        raise TrackingPlanAttached(f"{key}: {', '.join(attached[:5])}")
    session.execute(sa.delete(TrackingPlanSource).where(TrackingPlanSource.plan_id == plan.id))
    session.delete(plan)
    session.flush()


def find(session: Session, key: str) -> TrackingPlan:
    """Return a plan; raises TrackingPlanNotFound."""
    plan = session.scalar(sa.select(TrackingPlan).where(TrackingPlan.key == key))
    if plan is None:
        raise TrackingPlanNotFound(key)
    return plan


def overview(session: Session, plan: TrackingPlan) -> Overview:
    """Return a plan with its version in force, its draft and its sources."""
    last = newest(session, plan)
    draft = last if last.published_at is None else None
    return Overview(
        plan, _published(session, plan) if draft else last, draft, _sources(session, plan)
    )


def list_page(
    session: Session, *, after: str | None = None, limit: int | None = None
) -> list[TrackingPlan]:
    """Return plans by key: those after a key, at most `limit`."""
    query = sa.select(TrackingPlan).order_by(TrackingPlan.key).limit(limit)
    if after is not None:
        query = query.where(TrackingPlan.key > after)
    return list(session.scalars(query))


def newest(session: Session, plan: TrackingPlan) -> TrackingPlanVersion:
    """Return the newest version of a plan, which may be a draft."""
    return session.scalars(_versions(plan).limit(1)).one()


def list_versions(
    session: Session, plan: TrackingPlan, *, below: int | None = None, limit: int | None = None
) -> list[TrackingPlanVersion]:
    """Return versions of a plan, the newest first; those below a number, at most `limit`."""
    query = _versions(plan).limit(limit)
    if below is not None:
        query = query.where(TrackingPlanVersion.number < below)
    return list(session.scalars(query))


def version(session: Session, plan: TrackingPlan, number: int) -> TrackingPlanVersion:
    """Return one version of a plan; raises TrackingPlanNotFound."""
    found = session.scalar(
        sa.select(TrackingPlanVersion).where(
            TrackingPlanVersion.plan_id == plan.id, TrackingPlanVersion.number == number
        )
    )
    if found is None:
        raise TrackingPlanNotFound(f"{plan.key} has no version {number}")
    return found


def _checked(title: str, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as it was written, after a look at all of it and at the title."""
    rules.check_title(title)
    rules.parse(definition)
    return dict(definition)


def _changing(session: Session, key: str, revision: int | None) -> TrackingPlan:
    """Return a plan, locked against others who change it, and count the change."""
    plan = session.scalar(
        sa.select(TrackingPlan)
        .where(TrackingPlan.key == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if plan is None:
        raise TrackingPlanNotFound(key)
    if revision is not None and revision != plan.revision:
        raise TrackingPlanChanged(f"{key} is at revision {plan.revision}, not {revision}")
    plan.revision += 1
    return plan


def _published(session: Session, plan: TrackingPlan) -> TrackingPlanVersion | None:
    published = _versions(plan).where(TrackingPlanVersion.published_at.is_not(None))
    return session.scalar(published.limit(1))


def _versions(plan: TrackingPlan) -> sa.Select[TrackingPlanVersion]:
    return (
        sa.select(TrackingPlanVersion)
        .where(TrackingPlanVersion.plan_id == plan.id)
        .order_by(TrackingPlanVersion.number.desc())
    )


def _sources(session: Session, plan: TrackingPlan) -> list[str]:
    query = (
        sa.select(Source.name)
        .join(TrackingPlanSource, TrackingPlanSource.source_id == Source.id)
        .where(TrackingPlanSource.plan_id == plan.id, Source.removed_at.is_(None))
        .order_by(Source.name)
    )
    return list(session.scalars(query))
