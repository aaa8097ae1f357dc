"""Lets a database that was restored into another cluster go on exactly where it was.

Rows say in which transaction they came, and readers go by that: events, marks, closed partitions,
consent records, the feed and the cursors that its readers hold. A dump keeps those numbers, and a
new cluster counts from the beginning: what it writes would lie before every mark, and never be
read. So the cluster's counter is brought past them. No row is changed, and what others hold stays
true.
"""

import logging
import time

import sqlalchemy as sa

from app.db import exclusively, sessions, statement

#: Room for the transactions between the backup and the loss of what it was made of: whoever read
#: the feed then holds a cursor from there, and would overlook what comes before it.
ROOM = 1_000_000
#: Transactions in one command, some two seconds.
STEP = 1_000_000
#: PostgreSQL stops at two thousand million transactions that no vacuum has seen to.
OLDEST = 1_000_000_000
#: How long to wait for another process that is at it, and for a vacuum.
WAIT_SECONDS, VACUUM_SECONDS = 0.5, 10.0

log = logging.getLogger("parcours.restored")


def go_on(engine: sa.Engine, *, room: int = ROOM) -> None:
    """Bring the cluster's counter past every transaction that is mentioned, where it is before one.

    Takes some 3 s per million transactions that are missing. Several processes may ask for it at
    once; all of them wait until it is done.
    """
    while _newest_elsewhere(engine) is not None:
        with exclusively(sessions(engine), "restored") as mine:
            if mine:
                newest = _newest_elsewhere(engine)
                if newest is not None:
                    _use_up(engine, newest + room)
        if not mine:
            time.sleep(WAIT_SECONDS)


def _newest_elsewhere(engine: sa.Engine) -> int | None:
    """Return the newest transaction that a row mentions, where this cluster did not give it out."""
    with engine.connect() as connection:
        row = connection.execute(statement("app", "newest_transaction")).one()
    return int(row.newest) if row.elsewhere else None


def _use_up(engine: sa.Engine, until: int) -> None:
    """Use up transaction ids, which is all one can do to them without stopping the server."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Nothing is lost with these: after a crash the next start looks again.
        connection.execute(sa.text("SET synchronous_commit = off"))
        try:
            while (missing := until - _current(connection)) > 0:
                log.warning("restored from elsewhere: %d transaction ids to go", missing)
                _wait_for_vacuum(connection)
                connection.execute(sa.text(_LOOP.format(min(missing, STEP))))
        finally:
            connection.execute(sa.text("RESET synchronous_commit"))
    log.warning("restored from elsewhere: the database goes on where it was")


_LOOP = """
DO $$
DECLARE used xid8;
BEGIN
  FOR i IN 1..{:d} LOOP
    used := pg_current_xact_id();
    COMMIT;
  END LOOP;
END $$
"""


def _current(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.text("SELECT CAST(pg_current_xact_id() AS text)")) or 0)


def _wait_for_vacuum(connection: sa.Connection) -> None:
    """Wait while rows are so old that PostgreSQL's own vacuum has to see to them first."""
    age = sa.text("SELECT max(age(datfrozenxid)) FROM pg_database")
    while (connection.scalar(age) or 0) > OLDEST:
        log.warning("restored from elsewhere: waiting for a vacuum")
        time.sleep(VACUUM_SECONDS)
