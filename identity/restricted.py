"""People whose processing is restricted (GDPR art. 18): they stay whole and are not matched."""

from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity.statements import among, array, rows_of, statement
from identity.tables import Identifier


def mirror(session: Session, states: Mapping[int, bool]) -> None:
    """Note whose processing is restricted now; compare their people again where it is no more.

    While one identifier of a person is restricted, none of theirs is compared with anybody's. The
    links of the person stand: storing who they are is allowed (art. 18(2)), and without them the
    restriction would hold for a part of them.
    """
    rows = [{"id": i, "restricted": states[i]} for i in sorted(states)]
    changed = session.scalars(statement("set_restricted"), {"rows": rows_of(rows)}).all()
    if changed:
        session.execute(statement("compare_again"), {"ids": array(changed)})


def people(session: Session, persons: Collection[int]) -> set[int]:
    """Return those of these people of whom an identifier is restricted."""
    query = sa.select(Identifier.person_id).where(
        among(Identifier.person_id, persons), Identifier.restricted
    )
    return set(session.scalars(query))


def identifiers(session: Session) -> set[int]:
    """Return the identifiers of people of whom one is restricted: no matching looks at them."""
    theirs = sa.select(Identifier.person_id).where(Identifier.restricted)
    return set(session.scalars(sa.select(Identifier.id).where(Identifier.person_id.in_(theirs))))
