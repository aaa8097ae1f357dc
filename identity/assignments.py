"""Who everybody is, all at once: for evaluation against a truth."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity.tables import Identifier

Key = tuple[str, str]


def people(session: Session) -> Mapping[Key, int]:
    """Return the person of every identifier, by (namespace, value)."""
    query = sa.select(Identifier.namespace, Identifier.value, Identifier.person_id)
    return {(r.namespace, r.value): r.person_id for r in session.execute(query)}


def names(session: Session) -> Mapping[int, Key]:
    """Return (namespace, value) of every identifier, by its id."""
    query = sa.select(Identifier.id, Identifier.namespace, Identifier.value)
    return {r.id: (r.namespace, r.value) for r in session.execute(query)}


def groups(session: Session) -> Mapping[Key, int]:
    """Return, for every identifier, the part of its person that events alone hold together."""
    query = sa.select(Identifier.namespace, Identifier.value, Identifier.group_id)
    return {(r.namespace, r.value): r.group_id for r in session.execute(query)}


def willing(session: Session) -> set[Key]:
    """Return the identifiers of groups in which `profile.link` was given and nobody refused it."""
    query = sa.select(
        Identifier.namespace, Identifier.value, Identifier.group_id, Identifier.link_consent
    )
    rows = session.execute(query).all()
    given = {r.group_id for r in rows if r.link_consent == "given"}
    return {
        (r.namespace, r.value) for r in rows if r.group_id in given and r.link_consent != "refused"
    }
