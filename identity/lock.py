"""The one lock of identity: whoever computes people, or changes what that depends on, holds it."""

import sqlalchemy as sa
from sqlalchemy.orm import Session


def lock(session: Session) -> None:
    """Let nobody else compute people until this transaction ends. Safe to repeat.

    Take it before any row: who holds rows and waits for it deadlocks with its holder.
    """
    session.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('identity', 0))"))
