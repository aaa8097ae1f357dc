"""Whose standing in a journey with a target is to be looked at, and when."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import statement
from identity import graph

#: Stands for everybody, for whom a new target is to be looked at.
EVERYBODY = 0

FOLLOWED = sa.text("SELECT EXISTS (SELECT FROM app.journey WHERE definition ? 'target')")


def followed(session: Session) -> bool:
    """Say whether any journey has, or had, a target that people are followed through."""
    return bool(session.scalar(FOLLOWED))


def mark(session: Session, persons: Collection[int], *, now: datetime) -> None:
    """Have these people looked at again, in every journey that has a target.

    `persons` may be ids that were people once.
    """
    session.execute(
        statement("app.journeys", "mark_due"), {"people": graph.array(persons), "now": now}
    )


def anew(session: Session, key: str) -> None:
    """Have everybody looked at, because a journey has another target, or none any more."""
    session.execute(statement("app.journeys", "mark_one"), {"journey": key, "person": EVERYBODY})
