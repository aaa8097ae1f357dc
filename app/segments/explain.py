"""Says why a person is in a segment or not: condition by condition, with what was found."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.permission import decision, parameters
from app.profiles import computed_sql, computed_values, paths, read
from app.segments import compile as compiled
from app.segments import members, uses
from app.segments.definition import (
    All,
    Any_,
    Behaviour,
    Computed,
    Consent,
    Identity,
    Member,
    Not,
    Rule,
    Sureness,
    Trait,
)
from app.segments.tables import Segment, SegmentMember
from identity import people


def explain(
    session: Session, segment: Segment, view: read.View, *, now: datetime
) -> dict[str, Any]:
    """Return whether this person is in, since when, and which conditions are met now.

    `found` is what a condition was held against: the value of a trait, the number of events.
    Of who may not be used for the purpose nothing is looked at; `withheld` says why.
    """
    rule = members.rule_of(segment)
    stay = session.scalar(
        sa.select(SegmentMember).where(
            SegmentMember.segment_id == segment.id,
            SegmentMember.person_id == view.subject_id,
            SegmentMember.left_at.is_(None),
        )
    )
    conditions = (
        _Conditions(session, view, segment.purpose, now).one(rule) if view.allowed else None
    )
    return {
        "segment": segment.key,
        "inside": stay is not None and bool(view.allowed),
        "since": stay.entered_at.isoformat() if stay is not None and view.allowed else None,
        "meets": bool(conditions and conditions["met"]),
        "waits_for": uses.waits_for(session, rule, segment.purpose),
        "conditions": conditions,
    }


class _Conditions:
    """Holds the conditions of a rule against one person."""

    def __init__(self, session: Session, view: read.View, purpose: str, now: datetime) -> None:
        self.session, self.view, self.now = session, view, now
        self.purpose = consent.catalogue.purpose(session, purpose)
        self.traits = read.traits(session, view)
        computed = computed_values.of_views(session, [view], now=now)
        self.computed = {one.key: one.value for one in computed.get(view.subject_id, ())}

    def one(self, rule: Rule) -> dict[str, Any]:
        """Return one condition: what it says, whether it is met, what was found, and its parts."""
        inside = compiled.members(
            self.session, rule, self.purpose, now=self.now, people=[self.view.person_id]
        )
        said = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        answer: dict[str, Any] = {"met": self.view.subject_id in inside}
        if isinstance(rule, All | Any_ | Not):
            [kind] = said
            parts = rule.all if isinstance(rule, All) else rule.any if isinstance(rule, Any_) else (
                (rule.not_,)
            )  # fmt: skip
            return {"condition": kind, **answer, "parts": [self.one(part) for part in parts]}
        answer = {"condition": said, **answer}
        if isinstance(rule, Trait):
            answer["found"] = self._trait(rule.trait)
        elif isinstance(rule, Computed):
            answer["found"] = self.computed.get(rule.computed)
        elif isinstance(rule, Behaviour):
            answer["found"] = self._count(rule)
        elif isinstance(rule, Consent):
            answer["found"] = self._reasons(rule)
        elif isinstance(rule, Identity):
            rows = people.members(self.session, [self.view.person_id])
            answer["found"] = {"asserted_groups": len({row.group_id for row in rows})}
        elif isinstance(rule, Sureness):
            answer["found"] = people.confidence(self.session, self.view.person_id)
        elif isinstance(rule, Member):
            other = uses.rules_of(self.session, [rule], self.purpose.key).get(rule.segment)
            answer["parts"] = [self.one(other)] if other is not None else []
        return answer

    def _trait(self, name: str) -> Any:
        """Return a trait's value, or what is at a path in one: where there is much, all of it."""
        values = {key: trait.value for key, trait in self.traits.items()}
        found = paths.look_up(values, name)
        return found if len(found) > 1 else found[0] if found else None

    def _count(self, rule: Behaviour) -> int:
        """Count the events as a computed trait does."""
        definition = rule.model_dump(mode="json", include={"event", "type", "where", "within_days"})
        text, values = computed_sql.query(
            {"kind": "count", **definition},
            self.purpose,
            now=self.now,
            people=[self.view.person_id],
        )
        rows = self.session.execute(text, values)
        return next((row.value for row in rows if row.subject_id == self.view.subject_id), 0)

    def _reasons(self, rule: Consent) -> dict[str, bool]:
        """Return what is decided for another purpose of each identifier, and why."""
        try:
            purpose = consent.catalogue.purpose(self.session, rule.consent)
        except consent.PurposeNotFound:
            return {}
        asked = [self.view.person_id]
        rows = self.session.execute(decision(asked), parameters(purpose, asked))
        return {row.reason: row.allowed for row in rows if row.identifier_id in self.view.allowed}
