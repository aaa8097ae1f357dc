"""Reads what computed traits are for people, as a purpose may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.profiles import computed_sql
from app.profiles import computed_traits as traits
from app.profiles.computed import ZERO
from app.profiles.read import View
from app.profiles.tables import ComputedTrait, ComputedValue
from identity import graph

#: Made once: every read of a profile asks.
_OF_PURPOSE = (
    sa.select(ComputedTrait)
    .where(ComputedTrait.purpose == sa.bindparam("purpose"))
    .order_by(ComputedTrait.key)
)


@dataclass(frozen=True, slots=True)
class Computed:
    """What a computed trait is for one person: None where there is nothing, or nothing yet.

    `state` is that of the trait; `events` are those it was made of; `since` is when it became so.
    """

    key: str
    value: Any
    events: int
    since: datetime | None
    state: str


def unready(session: Session, keys: Collection[str]) -> str:
    """Return which of these computed traits have no values for anybody now; empty for none."""
    query = sa.select(ComputedTrait).where(ComputedTrait.key.in_(keys)).order_by(ComputedTrait.key)
    return ", ".join(one.key for one in session.scalars(query) if not traits.usable(one))


def of_views(
    session: Session, views: Sequence[View], *, now: datetime
) -> dict[int, list[Computed]]:
    """Return the computed traits of the views' one purpose, by subject.

    Fails closed: what was made of events of other identifiers than may be used now, or what time
    has made another since, is computed anew for the answer.
    """
    seen = [view for view in views if view.allowed]
    if not seen:
        return {}
    listed = session.scalars(_OF_PURPOSE, {"purpose": seen[0].purpose}).all()
    if not listed:
        return {view.subject_id: [] for view in seen}
    rows = session.scalars(
        sa.select(ComputedValue).where(
            graph.among(ComputedValue.subject_id, {view.subject_id for view in seen}),
            ComputedValue.trait_id.in_([trait.id for trait in listed]),
        )
    )
    kept = {(row.trait_id, row.subject_id): row for row in rows}
    return {
        view.subject_id: [
            _one(session, trait, view, kept.get((trait.id, view.subject_id)), now)
            for trait in listed
        ]
        for view in seen
    }


def _one(
    session: Session,
    trait: ComputedTrait,
    view: View,
    kept: ComputedValue | None,
    now: datetime,
) -> Computed:
    state = traits.state(trait)
    if not traits.usable(trait):
        return Computed(trait.key, None, 0, None, state)
    if kept is None:
        nothing = 0 if trait.definition["kind"] in ZERO else None
        return Computed(trait.key, nothing, 0, None, state)
    if tuple(kept.basis) == view.allowed and (kept.due_at is None or kept.due_at > now):
        return Computed(trait.key, kept.value, kept.events, kept.computed_at, state)
    return _anew(session, trait, view, now, state)


def _anew(
    session: Session, trait: ComputedTrait, view: View, now: datetime, state: str
) -> Computed:
    purpose = consent.catalogue.purpose(session, trait.purpose)
    text, values = computed_sql.query(
        trait.definition, purpose, now=now, people=[view.person_id], bounds=trait.bounds
    )
    for row in session.execute(text, values):
        if row.subject_id == view.subject_id:
            return Computed(trait.key, row.value, row.events, now, state)
    nothing = 0 if trait.definition["kind"] in ZERO else None
    return Computed(trait.key, nothing, 0, now, state)
