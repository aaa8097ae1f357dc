"""Follows when events are written anew: an erasure or a rectification changed what they said."""

from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.profiles import computing, history, trait_rules
from identity import people as identity


def follow(session: Session, identifiers: Collection[int]) -> None:
    """Make anew, in this transaction, what was made of the events of these identifiers.

    Waits until no step of the pipeline is under way: call it before rows are locked that a step
    takes.
    """
    if identifiers:
        history.wait_for_steps(session)
        history.rebuild(session, identifiers, trait_rules.counted(session))
        people = set(identity.people_of(session, identifiers).values())
        computing.follow(session, people, now=datetime.now(UTC))
