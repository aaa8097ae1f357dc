"""Nothing is on its way out when a withdrawal is answered: sends and withdrawals take turns.

A decision is made, and some milliseconds later a message leaves. A withdrawal that is committed in
between would be answered before the message arrives. So whoever sends holds the identifiers in use
from before the decision until the answer, and a withdrawal waits for that, within bounds: one that
is said to us, and one that an event carries, an import brings, or another spelling of a value.

A withdrawal waits before it writes a row: nothing is held by it then that a sender could want. What
else it holds has been taken in one order by all: jobs, identity, the list of the erased, and this.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from time import monotonic

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db import Sessions, session_locks

#: How long a withdrawal waits for receivers, in milliseconds: all that one transaction waits, of
#: however many identifiers. It must not depend on how slow one is; what is under way after that was
#: decided before it.
PATIENCE_MS = 2_000
#: What is left to a wait when others of its transaction took all of that: to have what is free.
LEAST_MS = 100
#: Withdrawals that wait for the senders of each identifier. Each is a lock, and the server has room
#: for some thousands; what brings more of them waits for whoever sends anything.
MOST = 1_000
#: PostgreSQL's error codes for locks that could not be had in time, each or all, or never.
NOT_HAD = ("55P03", "57014", "40P01")
#: In order, so that two who hold several never wait for each other.
HOLD = sa.text(
    "SELECT pg_advisory_lock_shared(k) FROM ("
    "SELECT hashtextextended('in use ' || i, 0) AS k FROM unnest(CAST(:ids AS bigint[])) AS i "
    "UNION SELECT hashtextextended('in use by anybody', 0)) AS wanted ORDER BY k"
)
AWAIT = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended('in use ' || i, 0)) "
    "FROM unnest(CAST(:ids AS bigint[])) AS i ORDER BY hashtextextended('in use ' || i, 0)"
)
AWAIT_ALL = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('in use by anybody', 0))")


@contextmanager
def held(sessions: Sessions, identifiers: Collection[int]) -> Iterator[None]:
    """Hold withdrawals of these identifiers back for as long as the block runs.

    Outside any transaction, since the block waits for the network; if the process dies, the server
    frees them.
    """
    with session_locks(sessions) as connection:
        connection.execute(HOLD, {"ids": sorted(identifiers)})
        yield


def wait(session: Session, identifiers: Collection[int]) -> bool:
    """Wait until nobody sends what these identifiers are in; who would, waits for this commit.

    Returns False when a receiver took too long to answer.
    """
    if len(identifiers) > MOST:
        return wait_for_all(session)
    return not identifiers or _had(session, AWAIT, ids=sorted(identifiers))


def wait_for_all(session: Session) -> bool:
    """Wait until nobody sends anything; who would, waits for this commit. As `wait`."""
    return _had(session, AWAIT_ALL)


def _had(session: Session, locks: sa.TextClause, **parameters: list[int]) -> bool:
    root = session.get_transaction()
    of, waited = session.info.get(__name__, (None, 0.0))
    if of is not root:
        waited = 0.0
    before = session.scalar(sa.text("SELECT current_setting('statement_timeout')"))
    # Of the statement: that of a lock begins again with each of them.
    limit = sa.text("SELECT set_config('statement_timeout', :value, true)")
    most = max(LEAST_MS, PATIENCE_MS - int(waited * 1_000))
    began = monotonic()
    try:
        with session.begin_nested():
            session.execute(limit, {"value": f"{most}ms"})
            session.execute(locks, parameters)
            session.execute(limit, {"value": before})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in NOT_HAD:
            raise
        return False
    finally:
        session.info[__name__] = (session.get_transaction(), waited + monotonic() - began)
    return True
