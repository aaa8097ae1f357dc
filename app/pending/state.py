"""What is held now, in figures that tell of nobody."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.pending.tables import Held


@dataclass(frozen=True, slots=True)
class HeldNow:
    """What is held of one source: how many events and bytes, and since when the oldest."""

    events: int = 0
    bytes: int = 0
    oldest: datetime | None = None


def by_source(session: Session, source_ids: Iterable[int]) -> dict[int, HeldNow]:
    """Return what is held of each of these sources."""
    found = dict.fromkeys(source_ids, HeldNow())
    query = (
        sa.select(
            Held.source_id,
            sa.func.count().label("events"),
            sa.func.sum(sa.func.octet_length(Held.sealed)).label("bytes"),
            sa.func.min(Held.received_at).label("oldest"),
        )
        .where(Held.source_id.in_(found), Held.expires_at > sa.func.clock_timestamp())
        .group_by(Held.source_id)
    )
    for row in session.execute(query):
        found[row.source_id] = HeldNow(row.events, int(row.bytes), row.oldest)
    return found


def by_key(session: Session) -> dict[bytes, int]:
    """Return how many events are held under each key, by the id of the key."""
    query = sa.select(Held.key_id, sa.func.count().label("events")).group_by(Held.key_id)
    return {row.key_id: row.events for row in session.execute(query)}


def overdue(session: Session, *, seconds: float) -> int:
    """Return how many events should have been deleted that many seconds ago."""
    late = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return session.scalar(sa.select(sa.func.count()).where(Held.expires_at < late)) or 0
