"""Finds the held events whose visitors have said something, and those whose look is due."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.db import statement
from app.pending.seal import Keyring
from app.pending.tables import Held


def any_held(session: Session) -> bool:
    """Say whether anything is held at all."""
    return bool(session.scalar(sa.select(sa.exists(sa.select(Held.id)))))


def skip(session: Session) -> None:
    """Move the mark to now, while nothing is held.

    Nothing is lost by it: what is held from now on is looked at once after its commit, and that
    look sees every record that was committed before.
    """
    session.execute(
        sa.text(
            "UPDATE app.progress SET transaction = pg_snapshot_xmin(pg_current_snapshot()) "
            "WHERE reader = 'pending'"
        )
    )


def hear(session: Session, keyring: Keyring) -> None:
    """Have those held events looked at whose identifiers have new consent records.

    Reads from the mark of the last time, in one transaction with moving it. The mark is the oldest
    transaction that was still running, so that no late commit is missed; what is read twice for
    that reason is looked at twice, which changes nothing.
    """
    mark = session.scalar(
        sa.text("SELECT CAST(transaction AS text) FROM app.progress WHERE reader = 'pending'")
    )
    changes = consent.changes_since(session, int(mark or 0))
    if changes.identifiers is None:
        session.execute(sa.update(Held).values(due_at=sa.func.clock_timestamp()))
    elif changes.identifiers:
        subjects = [h for identifier in changes.identifiers for h in keyring.subjects(*identifier)]
        session.execute(statement("app.pending", "mark_due"), {"subjects": subjects})
    session.execute(
        sa.text(
            "UPDATE app.progress SET transaction = CAST(CAST(:mark AS text) AS xid8) "
            "WHERE reader = 'pending'"
        ),
        {"mark": str(changes.mark)},
    )


def hand_over(session: Session, keyring: Keyring, after: timedelta) -> None:
    """Have events that are sealed with a key that is not here looked at after a while.

    Their subjects cannot be hashed here, so whoever has the key must ask for their answers.
    """
    session.execute(
        sa.update(Held)
        .where(Held.due_at.is_(None), Held.key_id.not_in(keyring.ids))
        .values(due_at=sa.func.clock_timestamp() + after)
    )


def due(session: Session, *, limit: int) -> list[int]:
    """Return the ids of events that must be looked at, those that came first first."""
    return list(session.scalars(statement("app.pending", "due"), {"limit": limit}))


def take(session: Session, ids: Collection[int]) -> Sequence[sa.Row[Any]]:
    """Lock and return these events, but not those that somebody else has or whose time is over."""
    return session.execute(statement("app.pending", "take"), {"ids": sorted(ids)}).all()


def look_later(session: Session, when: Mapping[int, datetime | None]) -> None:
    """Set when these events are looked at again: at a time, or when an identifier speaks."""
    rows = [{"id": i, "due_at": at.isoformat() if at else None} for i, at in sorted(when.items())]
    if rows:
        session.execute(statement("app.pending", "look_later"), {"rows": json.dumps(rows)})
