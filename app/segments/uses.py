"""What segments are made of beside events: computed traits and other segments of their purpose."""

from collections.abc import Iterator
from difflib import get_close_matches

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import ComputedTraitInUse, DefinitionInvalid, SegmentInUse
from app.profiles import computed_traits
from app.segments import lists
from app.segments.definition import MOST_CONDITIONS, RULE, Computed, Member, Rule, walk
from app.segments.tables import Segment


def check(session: Session, rule: Rule, purpose: str) -> None:
    """Raise DefinitionInvalid where a rule asks for what is not there, or is of another purpose.

    A segment is made of such that are there already, and none is ever changed, so no two are made
    of each other.
    """
    for member in _members(rule):
        found = session.scalar(sa.select(Segment).where(Segment.key == member.segment))
        if found is None:
            keys = list(session.scalars(sa.select(Segment.key)))
            raise DefinitionInvalid(
                f"#/rule: no segment {member.segment}{_near(member.segment, keys)}"
            )
        _same(member.segment, found.purpose, purpose)
    lists.check(session, rule, purpose)
    everything = list(_parts(rule, rules_of(session, rule, purpose)))
    if len(everything) > MOST_CONDITIONS:
        raise DefinitionInvalid(f"#/rule: {len(everything)} conditions; at most {MOST_CONDITIONS}")
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    for key in sorted({part.computed for part in everything if isinstance(part, Computed)}):
        if key not in known:
            raise DefinitionInvalid(f"#/rule: {computed_traits.missing(session, key)}")
        _same(key, known[key].purpose, purpose)


def _same(key: str, its: str, purpose: str) -> None:
    if its != purpose:
        raise DefinitionInvalid(f"#/rule: {key} is computed for {its}, not for {purpose}")


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(near)}?" if near else ""


def _members(rule: Rule) -> Iterator[Member]:
    return (part for part in walk(rule) if isinstance(part, Member))


def _parts(rule: Rule, others: dict[str, Rule]) -> Iterator[Rule]:
    """Yield a rule and everything inside it, and inside the segments that it names."""
    for part in walk(rule):
        yield part
        if isinstance(part, Member) and part.segment in others:
            yield from _parts(others[part.segment], others)


def rules_of(session: Session, rule: Rule, purpose: str) -> dict[str, Rule]:
    """Return the rules of the segments that a rule is made of, directly or not, by key."""
    if not any(True for _ in _members(rule)):
        return {}
    rows = session.execute(sa.select(Segment.key, Segment.rule).where(Segment.purpose == purpose))
    return {row.key: RULE.validate_python(row.rule) for row in rows}


def waits_for(session: Session, rule: Rule, purpose: str) -> list[str]:
    """Return the computed traits for which a segment waits: not computed for everybody, or not."""
    parts = _parts(rule, rules_of(session, rule, purpose))
    keys = {part.computed for part in parts if isinstance(part, Computed)}
    if not keys:
        return []
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    return sorted(k for k in keys if k not in known or not computed_traits.usable(known[k]))


def is_made_of(session: Session, segment: Segment, kind: type[Computed]) -> bool:
    """Say whether a segment asks, itself or by another, for something of this kind."""
    rule = RULE.validate_python(segment.rule)
    return any(isinstance(p, kind) for p in _parts(rule, rules_of(session, rule, segment.purpose)))


def free_trait(session: Session, key: str) -> None:
    """Raise ComputedTraitInUse where segments are defined by a computed trait."""
    using = [s.key for s, part in _all(session) if isinstance(part, Computed)
             and part.computed == key]  # fmt: skip
    if using:
        raise ComputedTraitInUse(", ".join(using))


def free_segment(session: Session, key: str) -> None:
    """Raise SegmentInUse where other segments are defined by a segment."""
    using = [s.key for s, part in _all(session) if isinstance(part, Member)
             and part.segment == key]  # fmt: skip
    if using:
        raise SegmentInUse(", ".join(using))


def _all(session: Session) -> Iterator[tuple[Segment, Rule]]:
    for segment in session.scalars(sa.select(Segment).order_by(Segment.key)):
        for part in walk(RULE.validate_python(segment.rule)):
            yield segment, part
