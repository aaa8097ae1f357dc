"""What segments are made of beside events: computed traits and other segments of their purpose."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.errors import ComputedTraitInUse, DefinitionInvalid, SegmentInUse
from app.profiles import computed_traits
from app.segments import lists
from app.segments.definition import (
    MOST_CONDITIONS,
    RULE,
    Computed,
    Consent,
    Group,
    Member,
    Rule,
    walk,
)
from app.segments.tables import Segment

#: Segments that are not archived.
LIVE = Segment.archived_at.is_(None)


def hold(session: Session) -> None:
    """Let nobody else define, archive or delete a segment until this transaction ends.

    Two that begin to be made of each other at once would not see it, and whatever looks through
    such a ring never ends. Before any segment is locked.
    """
    lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("segment.rules", 0))
    session.execute(sa.select(lock))


def check(session: Session, rule: Rule, purpose: str, *, key: str | None = None) -> None:
    """Raise DefinitionInvalid where a rule asks for what is not there, or is of another purpose.

    `key` is the segment whose rule it becomes: no segment may be made of itself, by however many
    others, and those made of it may not grow too large by it.
    """
    for member in _members(rule):
        found = session.scalar(sa.select(Segment).where(Segment.key == member.segment, LIVE))
        if found is None:
            keys = list(session.scalars(sa.select(Segment.key).where(LIVE)))
            raise DefinitionInvalid(
                f"#/rule: no segment {member.segment}{_near(member.segment, keys)}"
            )
        _same(member.segment, found.purpose, purpose)
    lists.check(session, rule, purpose)
    others = {**rules_of(session, [rule], purpose)}
    everything = list(_parts(rule, others))
    if key is not None:
        if any(isinstance(part, Member) and part.segment == key for part in everything):
            raise DefinitionInvalid(f"#/rule: {key} would be made of itself")
        for other in using(session, key):
            found_rules = {**_rules(session, purpose), key: rule}
            _bounded(found_rules[other], found_rules, f"#/rule: {other} is made of it, and has")
    _bounded(rule, others, "#/rule:")
    purposes = list(consent.catalogue.purposes(session))
    for other in sorted({part.consent for part in everything if isinstance(part, Consent)}):
        if other not in purposes:
            raise DefinitionInvalid(f"#/rule: no purpose {other}{_near(other, purposes)}")
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    for key in sorted({part.computed for part in everything if isinstance(part, Computed)}):
        if key not in known:
            raise DefinitionInvalid(f"#/rule: {computed_traits.missing(session, key)}")
        _same(key, known[key].purpose, purpose)


def _bounded(rule: Rule, others: Mapping[str, Rule], said: str) -> None:
    conditions = sum(1 for _ in _parts(rule, others))
    if conditions > MOST_CONDITIONS:
        raise DefinitionInvalid(f"{said} {conditions} conditions; at most {MOST_CONDITIONS}")


def _same(key: str, its: str, purpose: str) -> None:
    if its != purpose:
        raise DefinitionInvalid(f"#/rule: {key} is computed for {its}, not for {purpose}")


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(near)}?" if near else ""


def _members(rule: Rule) -> Iterator[Member]:
    return (part for part in walk(rule) if isinstance(part, Member))


def _parts(rule: Rule, others: Mapping[str, Rule]) -> Iterator[Rule]:
    """Yield a rule and everything inside it, and inside the segments that it names."""
    for part in walk(rule):
        yield part
        if isinstance(part, Member) and part.segment in others:
            yield from _parts(others[part.segment], others)


def parts_of_all(session: Session, rules: Sequence[Rule], purpose: str) -> list[list[Rule]]:
    """Return everything in each of these rules of one purpose, and in segments that it names."""
    others = rules_of(session, rules, purpose)
    return [list(_parts(rule, others)) for rule in rules]


def rules_of(session: Session, rules: Iterable[Rule], purpose: str) -> dict[str, Rule]:
    """Return the rules of all segments of the purpose, by key, where these are made of any."""
    if not any(True for rule in rules for _ in _members(rule)):
        return {}
    return _rules(session, purpose)


def _rules(session: Session, purpose: str) -> dict[str, Rule]:
    query = sa.select(Segment.key, Segment.rule).where(Segment.purpose == purpose, LIVE)
    return {row.key: RULE.validate_python(row.rule) for row in session.execute(query)}


def consents_of(session: Session, rules: Sequence[Rule]) -> dict[str, consent.Purpose]:
    """Return the purposes whose decisions rules ask for, by key, as far as they are there."""
    keys = {part.consent for rule in rules for part in walk(rule) if isinstance(part, Consent)}
    if not keys:
        return {}
    return {k: p for k, p in consent.catalogue.purposes(session).items() if k in keys}


def purposes_asked(session: Session, rule: Rule, purpose: str) -> list[str]:
    """Return the purposes whose decisions a rule tells, itself or by another segment, sorted."""
    parts = _parts(rule, rules_of(session, [rule], purpose))
    return sorted({part.consent for part in parts if isinstance(part, Consent)})


def group_traits(rules: Iterable[Rule]) -> set[str]:
    """Return the traits of accounts, or paths in them, that these rules ask for."""
    return {part.group_trait for rule in rules for part in walk(rule) if isinstance(part, Group)}


def waits_for(session: Session, rule: Rule, purpose: str) -> list[str]:
    """Return the computed traits for which a segment waits: not computed for everybody, or not."""
    [found] = waits_of_all(session, [rule], purpose)
    return found


def waits_of_all(session: Session, rules: Sequence[Rule], purpose: str) -> list[list[str]]:
    """Return the same of several rules of one purpose, with one look."""
    others = rules_of(session, rules, purpose)
    asked = [_computed(rule, others) for rule in rules]
    if not any(asked):
        return [[] for _ in rules]
    known = {trait.key: trait for trait in computed_traits.list_all(session)}
    ready = {key for key, trait in known.items() if computed_traits.usable(trait)}
    return [sorted(keys - ready) for keys in asked]


def _computed(rule: Rule, others: Mapping[str, Rule]) -> set[str]:
    return {part.computed for part in _parts(rule, others) if isinstance(part, Computed)}


def using(session: Session, key: str) -> list[str]:
    """Return the segments that are made of a segment, directly or by others."""
    purpose = session.scalar(sa.select(Segment.purpose).where(Segment.key == key))
    rules = _rules(session, purpose) if purpose is not None else {}
    return sorted(
        other
        for other, rule in rules.items()
        if any(isinstance(p, Member) and p.segment == key for p in _parts(rule, rules))
    )


def computed_of_all(session: Session, rules: Sequence[Rule], purpose: str) -> list[bool]:
    """Say of each rule whether it asks, itself or by another segment, for a computed trait."""
    others = rules_of(session, rules, purpose)
    return [bool(_computed(rule, others)) for rule in rules]


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
    for segment in session.scalars(sa.select(Segment).where(LIVE).order_by(Segment.key)):
        for part in walk(RULE.validate_python(segment.rule)):
            yield segment, part
