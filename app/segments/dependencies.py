"""The graph of what segments are made of: events, traits, computed traits, purposes, segments."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.profiles import computed_traits
from app.segments.definition import (
    Behaviour,
    Computed,
    Consent,
    Listed,
    Member,
    Rule,
    Sequence,
    Trait,
    walk,
)
from app.segments.members import rule_of
from app.segments.tables import Segment

#: What is made of what: kind and name, each.
Edge = tuple[tuple[str, str], tuple[str, str]]


def edges(session: Session) -> list[Edge]:
    """Return what each segment and each computed trait is made of, archived segments included."""
    found: set[Edge] = set()
    for segment in session.scalars(sa.select(Segment)):
        mine = ("segment", segment.key)
        found.add((mine, ("purpose", segment.purpose)))
        found |= {(mine, part) for part in _parts(rule_of(segment))}
    for trait in computed_traits.list_all(session):
        mine = ("computed_trait", trait.key)
        found.add((mine, ("purpose", trait.purpose)))
        found.add((mine, ("event", trait.definition["event"])))
    return sorted(found)


def _parts(rule: Rule) -> Iterator[tuple[str, str]]:
    for part in walk(rule):
        if isinstance(part, Trait):
            yield "trait", part.trait
        elif isinstance(part, Computed):
            yield "computed_trait", part.computed
        elif isinstance(part, Behaviour):
            yield "event", part.event
        elif isinstance(part, Sequence):
            for step in (*part.sequence, *part.without):
                yield "event", step.event
        elif isinstance(part, Member):
            yield "segment", part.segment
        elif isinstance(part, Consent):
            yield "purpose", part.consent
        elif isinstance(part, Listed):
            yield "list", part.listed
