"""The suppression list: of whom nothing is to be stored again, as keyed hashes only."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from consent.tables import SUPPRESSION_VERSION, Suppression

_LOCK = "hashtextextended('suppression', 0)"
#: The lock is waited for first, and the sequence read then: a sequence is what it is now, and not
#: what it was when the statement began.
_READ = sa.text(
    f"WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared({_LOCK}) IS NULL AS got) "  # noqa: S608  # text of our own
    # The first value of a sequence leaves `last_value` as it was before.
    "SELECT v.changes FROM held CROSS JOIN LATERAL "
    "(SELECT last_value + CAST(is_called AS integer) AS changes "
    "FROM consent.suppression_version WHERE held.got IS NOT NULL) v"
)


class Entry(NamedTuple):
    """One hash and the key it was made with."""

    ref: bytes
    key_id: bytes
    namespace: str


def read_lock(session: Session) -> int:
    """Let nobody change the list until this transaction ends; return how often it was changed.

    Whoever writes what people sent calls it before the first row, so that no erasure comes between
    the look at the list and the write.
    """
    return int(session.scalar(_READ) or 0)


def write_lock(session: Session) -> None:
    """Wait until nobody writes, and let nobody until this transaction ends."""
    session.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def entries(session: Session) -> list[Entry]:
    """Return the whole list."""
    rows = session.execute(sa.select(Suppression.ref, Suppression.key_id, Suppression.namespace))
    return [Entry(bytes(r.ref), bytes(r.key_id), r.namespace) for r in rows]


def size(session: Session) -> int:
    """Return how many identifiers are suppressed."""
    return session.scalar(sa.select(sa.func.count()).select_from(Suppression)) or 0


def any_of(session: Session, refs: Collection[bytes]) -> bool:
    """Say whether one of these is on the list."""
    return bool(session.scalar(sa.select(sa.exists().where(Suppression.ref.in_(refs)))))


def suppress(
    session: Session,
    new: Iterable[Entry],
    *,
    normaliser: int,
    reason_ref: str,
    review_at: datetime | None = None,
) -> None:
    """Put these on the list; holders of what they read before find out by `read_lock`."""
    write_lock(session)
    rows = [
        {
            "ref": entry.ref,
            "key_id": entry.key_id,
            "namespace": entry.namespace,
            "normaliser": normaliser,
            "reason_ref": reason_ref,
            "review_at": review_at,
        }
        for entry in new
    ]
    if rows:
        session.execute(insert(Suppression).values(rows).on_conflict_do_nothing())
    session.scalar(SUPPRESSION_VERSION)


def renew(session: Session) -> None:
    """Have who remembers what they read of identifiers read anew: some are gone, of nobody erased.

    Waits until nobody writes, and lets nobody until this transaction ends.
    """
    write_lock(session)
    session.scalar(SUPPRESSION_VERSION)


def lift(session: Session, refs: Collection[bytes]) -> int:
    """Take these off the list, after a new and explicit act of the person; return how many."""
    write_lock(session)
    gone = session.execute(
        sa.delete(Suppression).where(Suppression.ref.in_(refs)).returning(Suppression.ref)
    ).all()
    session.scalar(SUPPRESSION_VERSION)
    return len(gone)
