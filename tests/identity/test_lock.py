"""The lock of identity: held from where it is first taken to the end of that transaction."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from identity.lock import lock


def _is_free(other: Session) -> bool:
    free = other.scalar(
        sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('identity', 0))")
    )
    other.rollback()
    return bool(free)


def test_it_is_held_until_its_transaction_ends_and_taken_anew_in_the_next(
    sessions: Sessions,
) -> None:
    with sessions() as session, sessions() as other:
        for end in (session.commit, session.rollback, session.commit):
            assert _is_free(other)
            lock(session)
            lock(session)
            assert not _is_free(other)
            end()
        assert _is_free(other)


def test_one_that_went_with_a_savepoint_is_taken_anew(sessions: Sessions) -> None:
    with sessions() as session, sessions() as other:
        savepoint = session.begin_nested()
        lock(session)
        savepoint.rollback()
        assert _is_free(other)
        lock(session)
        assert not _is_free(other)
        with session.begin_nested():
            lock(session)
        assert not _is_free(other)
