"""Tells readers of the feed of whom another value of a trait may survive, as its rule changed.

By the worker in portions: a rule is about everybody who has the trait, and whoever keeps a copy of
profiles follows the feed.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import Sessions, statement
from app.events.tables import Progress
from app.profiles.changes import News, publish
from identity import people

#: Begins the name of a mark: how far everybody has been told of who has the trait.
_READER = "trait:"
#: Identifiers of one transaction.
PORTION = 2_000


def ask(session: Session, key: str) -> None:
    """Have readers told, from this transaction's commit on; if it is under way, from the start."""
    mark = insert(Progress).values(reader=f"{_READER}{key}")
    again = {"event_id": 0}
    session.execute(mark.on_conflict_do_update(index_elements=["reader"], set_=again))


def advance(sessions: Sessions) -> bool:
    """Tell of the next portion of whom it was asked for; say whether there was one."""
    with sessions.begin() as session:
        asked = sa.select(Progress).where(Progress.reader.startswith(_READER, autoescape=True))
        first = asked.order_by(Progress.reader).limit(1).with_for_update(skip_locked=True)
        mark = session.scalar(first)
        if mark is None:
            return False
        bound = {
            "key": mark.reader.removeprefix(_READER), "after": mark.event_id, "limit": PORTION,
        }  # fmt: skip
        ids = session.scalars(statement("app.profiles", "who_has_trait"), bound).all()
        whose = sorted(set(people.people_of(session, ids).values()))
        now = session.scalar(sa.select(sa.func.now())) if whose else None
        if now is not None:
            publish(session, [News("profile.updated", person) for person in whose], at=now)
        if len(ids) < PORTION:
            session.delete(mark)
        else:
            mark.event_id = ids[-1]
        return True
