"""Repeats the erasures of the journal that this database does not know: it was restored."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa

from app.db import Sessions, exclusively
from app.privacy import journal
from app.privacy.tables import ErasureLeft
from app.settings import Settings
from consent import erasure as consents

log = logging.getLogger("parcours.privacy")

#: How long to wait for another process that is at it.
WAIT_SECONDS = 0.5


def replay(sessions: Sessions, settings: Settings) -> int:
    """Erase what the journal lists and this database still has; return how many erasures that was.

    To be called before anybody is served. Whoever was restored is found by their keyed hashes: all
    identifiers are hashed once, a million in some seconds. What a crash cut short is gone on with.
    Raises JournalUnusable and SuppressionKeyUnusable: without journal or key nobody can tell who
    must not be here.
    """
    lines = journal.read(settings.journal)
    while _missing(sessions, lines) or _left(sessions):
        with exclusively(sessions, "erasure replay") as mine:
            if mine:
                # The whole product and DuckDB: 45 MB, and for each command a quarter of a second.
                from app.privacy import repeating  # noqa: PLC0415  # at a restore alone

                missing = _missing(sessions, lines)
                repeating.repeat(sessions, settings, lines, missing)
                log.warning("%d erasures of the journal were repeated here", len(missing))
                return len(missing)
        time.sleep(WAIT_SECONDS)
    return 0


def _left(sessions: Sessions) -> set[UUID]:
    with sessions() as session:
        return set(session.scalars(sa.select(ErasureLeft.erasure_id)))


def _missing(sessions: Sessions, lines: Sequence[journal.Line]) -> list[journal.Line]:
    if not lines:
        return []
    with sessions() as session:
        done = consents.done(session)
    return [line for line in lines if line.id not in done]
