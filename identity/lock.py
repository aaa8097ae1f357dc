"""The one lock of identity: whoever computes people, or changes what that depends on, holds it."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('identity', 0))")
#: Under which a session keeps the transaction in which it holds the lock.
_HELD = "identity lock"


def lock(session: Session) -> None:
    """Let nobody else compute people until this transaction ends. Safe and cheap to repeat.

    Take it before any row: who holds rows and waits for it deadlocks with its holder. Taken within
    a savepoint it is asked for again after that, since going back to the savepoint frees it.
    """
    transaction = session.get_transaction()
    if transaction is not None and session.info.get(_HELD) is transaction:
        return
    session.execute(_LOCK)
    if not session.in_nested_transaction():
        session.info[_HELD] = session.get_transaction()
