"""Lists of people: whoever was behind a number, kept as identifiers so that merges move them."""

import secrets
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import DefinitionInvalid
from app.segments.definition import Listed, Rule, walk
from app.segments.tables import PeopleList, Segment


def keep(session: Session, people: Collection[int], purpose: str) -> str:
    """Store a list of people of a purpose and return its key.

    Each is stored by the identifier it is named after: of two who merge one stays, and where a
    person splits, the part with that identifier is the one that was meant.
    """
    key = f"l_{secrets.token_hex(12)}"
    session.add(PeopleList(key=key, purpose=purpose))
    session.flush()
    session.execute(
        sa.text(
            "INSERT INTO app.people_list_member (list, identifier_id)"
            " SELECT CAST(:key AS text), unnest(CAST(:people AS bigint[]))"
        ),
        {"key": key, "people": sorted(people)},
    )
    return key


def check(session: Session, rule: Rule, purpose: str) -> None:
    """Raise DefinitionInvalid where a rule names a list that is not there for its purpose."""
    for key in sorted(_keys(rule)):
        its = session.scalar(sa.select(PeopleList.purpose).where(PeopleList.key == key))
        if its != purpose:
            raise DefinitionInvalid(f"#/rule: there is no list {key} for {purpose}")


def forget(session: Session, segment: Segment, rule: Rule) -> None:
    """Delete the lists of a segment that goes, those of other segments excepted."""
    for key in _keys(rule):
        others = sa.select(Segment.id).where(
            Segment.id != segment.id, sa.cast(Segment.rule, sa.Text).contains(f'"{key}"')
        )
        session.execute(sa.delete(PeopleList).where(PeopleList.key == key, ~sa.exists(others)))


def _keys(rule: Rule) -> set[str]:
    return {part.listed for part in walk(rule) if isinstance(part, Listed)}
