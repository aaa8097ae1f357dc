"""Carries changes of rules and spellings to everybody they concern, a portion at a time."""

from sqlalchemy.orm import Session

from app import resolve, work
from app.db import Sessions
from identity import respelling, sweeps

#: While so many wait for being computed anew, no more are noted.
MOST_WAITING = 20_000


def advance(sessions: Sessions) -> bool:
    """Note the next portion for the pipeline, in one transaction; say whether there is more.

    Several workers take turns. What was noted is safe, and so is how far it has come.
    """
    with sessions.begin() as session:
        if resolve.waiting(session) > MOST_WAITING:
            return False
        found = sweeps.step(session)
        if found is None:
            return False
        if found.what == respelling.SPELLING:
            work.touch(session, ((i, resolve.SPELLED, {}) for i in found.touched))
        work.ask_again(session, found.touched)
        return True


def state(session: Session) -> dict[str, object]:
    """Return how many identifiers wait for being computed anew, and which changes are under way."""
    found = [
        {"what": p.what, "share": p.share, "requested_at": p.requested_at.isoformat()}
        for p in sweeps.under_way(session)
    ]
    return {"waiting": resolve.waiting(session), "under_way": found}
