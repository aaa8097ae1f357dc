"""Counts what became of the events of each source, exactly, through any crash.

The counts of a batch are written in the batch's own transaction, as rows of their own: what was
committed is counted once, what was not is not, and no two writers wait for each other.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import work
from app.db import statement
from app.events.tables import Tally

#: What comes of held and of rejected events long after their source was heard of.
LATER = ("released", "destroyed", "replayed")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Rows older than this are summed up per minute, and per hour once no day reads their minutes.
FRESH = timedelta(minutes=5)
MINUTES = DAY + HOUR


@dataclass(slots=True)
class Counts:
    """What became of a source's events in one stretch of time.

    The first four are what their sender was told. `released` and `destroyed` (by reason) are what
    came of held events later, `replayed` are rejected ones that were stored later, so that no event
    is received twice: stored are accepted, released and replayed.
    """

    accepted: int = 0
    duplicate: int = 0
    held: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    released: int = 0
    replayed: int = 0
    destroyed: Counter[str] = field(default_factory=Counter)

    @property
    def received(self) -> int:
        """All events, whatever became of them."""
        return self.accepted + self.duplicate + self.held + self.rejected.total()

    def raise_by(self, outcome: str, reason: str, events: int) -> None:
        """Count events of one outcome."""
        if outcome in ("rejected", "destroyed"):
            if events:
                getattr(self, outcome)[reason] += events
        else:
            setattr(self, outcome, getattr(self, outcome) + events)


@dataclass(slots=True)
class Recent:
    """The counters of a source: of the last hour, of the last day."""

    hour: Counts = field(default_factory=Counts)
    day: Counts = field(default_factory=Counts)
    last_seen: datetime | None = None


def add(
    session: Session,
    counts: Mapping[tuple[int, str, str], int],
    at: datetime,
    *,
    wake: bool = False,
) -> None:
    """Count events by (source id, outcome, reason), in this transaction; `wake` also the worker.

    Waking it with a statement of its own costs every batch one more round trip.
    The outcomes are accepted, duplicate, rejected and held, for what was held before released and
    destroyed, and for what was rejected before replayed; the reason is "" but for rejected and
    destroyed.
    """
    rows = [
        {"source_id": source_id, "outcome": outcome, "reason": reason, "events": events}
        for (source_id, outcome, reason), events in counts.items()
        if events
    ]
    if rows:
        encoded = msgspec.json.encode(rows).decode()
        session.execute(
            statement("app.events", "tally_add"),
            {"rows": encoded, "at": at, "channel": work.CHANNEL if wake else None},
        )


def read(session: Session, source_id: int, now: datetime) -> Recent:
    """Return the counters of one source."""
    return read_all(session, [source_id], now)[source_id]


def read_all(session: Session, source_ids: Iterable[int], now: datetime) -> dict[int, Recent]:
    """Return the counters of several sources.

    The last five minutes count to the event; where an hour or a day begins is to the minute.
    """
    found = {source_id: Recent() for source_id in source_ids}
    rows = session.execute(
        statement("app.events", "tally_read"),
        {"source_ids": list(found), "day": now - DAY, "hour": now - HOUR},
    )
    for row in rows:
        recent = found[row.source_id]
        recent.hour.raise_by(row.outcome, row.reason, int(row.hour))
        recent.day.raise_by(row.outcome, row.reason, int(row.day))
    seen = session.execute(
        sa.select(Tally.source_id, sa.func.max(Tally.at))
        .where(Tally.source_id.in_(found), Tally.outcome.not_in(LATER))
        .group_by(Tally.source_id)
    )
    for source_id, at in seen:
        found[source_id].last_seen = at
    return found


def last_hour(session: Session, now: datetime) -> dict[tuple[str, str], int]:
    """Return how many events of all sources had each outcome, for each reason."""
    rows = session.execute(statement("app.events", "tally_last_hour"), {"hour": now - HOUR})
    return {(row.outcome, row.reason): int(row.events) for row in rows}


def compact(session: Session, now: datetime, *, keep: timedelta) -> None:
    """Sum up rows per minute, older ones per hour, and forget those older than `keep`.

    `keep` is two days or more. Each source's newest row stays: it tells when it was last seen.
    """
    for span, age in ((60, FRESH), (3600, MINUTES)):
        session.execute(
            statement("app.events", "tally_compact"), {"span": span, "before": now - age}
        )
    session.execute(statement("app.events", "tally_forget"), {"before": now - keep})
