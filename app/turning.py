"""Has the worker look at whose consent means something else now although nobody said anything.

A grant lapses, one that was dated in the future begins, a restriction ends, a new version of a
purpose takes effect: decisions hear of it at once, because they ask; links, segments and
destinations hear of it from here.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.destinations import syncing
from app.events.tables import Progress
from app.work import touch
from identity import graph

READER = "turning"


def look(session: Session) -> int:
    """Touch everybody concerned since the last look; return how many identifiers.

    The mark moves in the same transaction, so whatever kills the process, none is missed.
    """
    mark = session.scalar(sa.select(Progress).where(Progress.reader == READER).with_for_update())
    consent.catalogue.hold(session)  # a version that takes effect before `now` is there by then
    now = session.scalar(sa.select(sa.func.clock_timestamp()))
    if mark is None or mark.moment is None or not isinstance(now, datetime):
        raise LookupError("the mark of what turned is gone")  # a migration writes it
    turned: dict[tuple[str, str], dict[str, str]] = {}
    for row in consent.turned(session, since=mark.moment, until=now):
        turned.setdefault((row.namespace, row.value), {})[row.purpose] = row.state
    begun = consent.begun(session, since=mark.moment, until=now)
    syncing.follow_versions(session, begun)
    mark.moment = now
    if turned:
        ids = graph.identify(session, turned)
        touch(session, ((ids[who], "consent", what) for who, what in sorted(turned.items())))
    return len(turned)
