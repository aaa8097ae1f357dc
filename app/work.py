"""What the worker must look at again although no event says so, and how it is woken."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db import Base, statement

#: The channel on which the worker hears that there is something to do.
CHANNEL = "parcours_work"
#: Why an identifier is looked at again whose people must be computed anew.
AGAIN = "identity"
#: A worker that wrote no heartbeat for so long is gone.
WORKER_SECONDS = 60.0


class Touched(Base):
    """An identifier whose person must be looked at again, and why."""

    __tablename__ = "touched"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    identifier_id: Mapped[int]
    why: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (
        sa.Index(
            "touched_again",
            "identifier_id",
            unique=True,
            postgresql_where=sa.text("why = 'identity'"),
        ),
    )


class Heartbeat(Base):
    """When each background job last came to its end, and since when it fails, if it does."""

    __tablename__ = "heartbeat"

    job: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    failing_since: Mapped[datetime | None]


def beat(session: Session, job: str) -> None:
    """Note that a job does its work."""
    row = insert(Heartbeat).values(job=job, at=sa.func.clock_timestamp())
    well = {"at": row.excluded.at, "failing_since": None}
    session.execute(row.on_conflict_do_update(index_elements=["job"], set_=well))


def fail(session: Session, job: str) -> None:
    """Note that a job ended in an error."""
    now = sa.func.clock_timestamp()
    row = insert(Heartbeat).values(job=job, at=sa.text("'epoch'"), failing_since=now)
    since = sa.func.coalesce(Heartbeat.failing_since, row.excluded.failing_since)
    session.execute(
        row.on_conflict_do_update(index_elements=["job"], set_={"failing_since": since})
    )


def alive(session: Session) -> bool:
    """Say whether a worker has told lately that it lives."""
    after = sa.func.clock_timestamp() - timedelta(seconds=WORKER_SECONDS)
    lately = Heartbeat.job == "pipeline", Heartbeat.at > after
    return bool(session.scalar(sa.select(sa.exists().where(*lately))))


def failing(session: Session) -> dict[str, datetime]:
    """Return the jobs that fail, and since when."""
    rows = session.execute(
        sa.select(Heartbeat.job, Heartbeat.failing_since).where(
            Heartbeat.failing_since.is_not(None)
        )
    )
    return {row.job: row.failing_since for row in rows}


def touch(session: Session, touched: Iterable[tuple[int, str, Mapping[str, Any]]]) -> None:
    """Have the worker look again at the people of these identifiers, once this commits."""
    rows = [{"identifier_id": i, "why": why, "details": details} for i, why, details in touched]
    if rows:
        encoded = msgspec.json.encode(rows).decode()
        session.execute(statement("app", "touch"), {"rows": encoded, "channel": CHANNEL})


def ask_again(session: Session, identifiers: Iterable[int]) -> None:
    """Have the worker compute these people anew; who waits for it already is noted once.

    For changes that may concern everybody: the pipeline takes them in small steps, between events,
    so that news, segments and destinations follow as they do for events.
    """
    touch(session, ((i, AGAIN, {}) for i in sorted(identifiers)))


def take(session: Session, limit: int) -> list[sa.Row[Any]]:
    """Take what was touched, oldest first: rows of identifier_id, why, details.

    It is gone with this transaction's commit, and only then.
    """
    taken = session.execute(statement("app", "take_touched"), {"limit": limit})
    return sorted(taken, key=lambda row: row.id)


def waiting(session: Session, most: int) -> int:
    """Return how much was touched and waits to be taken, counted up to so many."""
    rows = sa.select(Touched.id).limit(most).subquery()
    return session.scalar(sa.select(sa.func.count()).select_from(rows)) or 0


def wake(session: Session) -> None:
    """Tell the worker, with this transaction's commit, that there is something to do."""
    session.execute(sa.text(f"NOTIFY {CHANNEL}"))
