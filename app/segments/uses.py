"""What a segment is made of beside events: computed traits, which must be there and be complete."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import ComputedTraitInUse, DefinitionInvalid
from app.profiles import computed_traits
from app.segments.definition import RULE, Computed, Rule, walk
from app.segments.tables import Segment


def _computed(rule: Rule) -> set[str]:
    return {part.computed for part in walk(rule) if isinstance(part, Computed)}


def check(session: Session, rule: Rule, purpose: str) -> None:
    """Raise DefinitionInvalid where a rule asks for a computed trait not of its purpose."""
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    for key in sorted(_computed(rule)):
        if key not in known:
            raise DefinitionInvalid(f"#/rule: {computed_traits.missing(session, key)}")
        if known[key].purpose != purpose:
            raise DefinitionInvalid(
                f"#/rule: {key} is computed for {known[key].purpose}, not for {purpose}"
            )


def waits_for(session: Session, rule: Rule) -> list[str]:
    """Return the computed traits for which a segment waits: computed for not everybody, or not."""
    keys = _computed(rule)
    if not keys:
        return []
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    return sorted(k for k in keys if k not in known or not computed_traits.usable(known[k]))


def free(session: Session, key: str) -> None:
    """Raise ComputedTraitInUse where segments are defined by a computed trait."""
    using = [
        segment.key
        for segment in session.scalars(sa.select(Segment).order_by(Segment.key))
        if key in _computed(RULE.validate_python(segment.rule))
    ]
    if using:
        raise ComputedTraitInUse(", ".join(using))
