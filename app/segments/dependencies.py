"""The graph of what segments are made of: events, traits, computed traits, purposes, segments."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.profiles import computed_traits
from app.profiles.computed import called_of
from app.profiles.conditions import Called
from app.segments.definition import (
    Computed,
    Consent,
    Group,
    Listed,
    Member,
    Rule,
    Trait,
    called,
    walk,
)
from app.segments.members import rule_of
from app.segments.tables import Segment

#: What is made of what: kind and name, each.
Edge = tuple[tuple[str, str], tuple[str, str]]
#: By which field a condition names what, and what that is.
NAMED: tuple[tuple[type[Any], str, str], ...] = (
    (Trait, "trait", "trait"),
    (Computed, "computed_trait", "computed"),
    (Member, "segment", "segment"),
    (Consent, "purpose", "consent"),
    (Group, "group_trait", "group_trait"),
    (Listed, "list", "listed"),
)


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
        found.add((mine, _events(called_of(trait.definition))))
    return sorted(found)


def _parts(rule: Rule) -> Iterator[tuple[str, str]]:
    for part in walk(rule):
        for asked in called(part):
            yield _events(asked)
        for kind, named, field in NAMED:
            if isinstance(part, kind):
                yield named, getattr(part, field)


def _events(asked: Called) -> tuple[str, str]:
    kind, name = asked
    return ("event", name) if name is not None else ("event_type", str(kind))
