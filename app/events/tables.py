"""Storage of events, of rejected ones, and of how far each reader of the stream has come."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from app.db import Base


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, by which readers see events in commit order."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name in DDL."""
        return "xid8"


#: A sequence of its own, since before PostgreSQL 17 no partitioned table has an identity column.
EVENT_ID = sa.Sequence("event_id", metadata=Base.metadata, schema="app")


class Event(Base):
    """One thing that happened, as it was received; merges and splits never touch it.

    `properties` and `context` are `json`, not `jsonb`: a third less work per insert, and numbers
    and key order come back as they were sent (research/performance.md A2b, A4).

    The table has a partition per `part`, one of which is open for writing
    (`app.events.partitions`). What makes an event the same when it comes again is unique within
    its partition, by an index of the partition's own, which is gone once the partition is older
    than duplicates are looked for.
    """

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(EVENT_ID, server_default=EVENT_ID.next_value())
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()")
    )
    source_id: Mapped[int]
    message_id: Mapped[str] = mapped_column(sa.Text(collation="C"))
    type: Mapped[str]
    name: Mapped[str | None]
    identifier_id: Mapped[int]
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))
    user_id: Mapped[str | None]
    anonymous_id: Mapped[str | None]
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    source_seq: Mapped[int | None]
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    properties: Mapped[dict[str, Any]] = mapped_column(JSON)
    context: Mapped[dict[str, Any]] = mapped_column(JSON)
    rest: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    part: Mapped[int]

    __table_args__ = (
        sa.Index("event_stream", "transaction", "id"),
        sa.Index("event_timeline", "identifier_id", "occurred_at"),
        {"postgresql_partition_by": "LIST (part)"},
    )
    # A key that the database does not check: nothing reads an event by its id alone, and the
    # index of one would be a quarter of the work of an insert.
    __mapper_args__ = {"primary_key": ["id"]}  # declared so by SQLAlchemy


class EventPartition(Base):
    """One partition of the events: prepared, then open, then closed for ever.

    `closed_by` is the transaction that closed it. Every event in it was written by an earlier one,
    so a reader whose mark has come so far has nothing left to read in it. `deduplicates` says
    whether its message ids still count when an event comes again.
    """

    __tablename__ = "event_partition"

    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[int | None] = mapped_column(TransactionId)
    deduplicates: Mapped[bool] = mapped_column(server_default=sa.true())


class RejectedEvent(Base):
    """An event that was not accepted, with the reason; kept only where consent allows it.

    `payload` is text and never `jsonb`: it may hold anything. It is gone once the event has been
    replayed or discarded; the row stays to say so.
    """

    __tablename__ = "rejected_event"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    source_id: Mapped[int]
    received_at: Mapped[datetime]
    code: Mapped[str]
    message: Mapped[str]
    details: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    message_id: Mapped[str | None]
    type: Mapped[str | None]
    name: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default="open")
    payload: Mapped[str | None]
    size: Mapped[int] = mapped_column(server_default=sa.text("0"))
    truncated: Mapped[bool] = mapped_column(server_default=sa.false())
    replayable: Mapped[bool] = mapped_column(server_default=sa.false())
    gpc: Mapped[bool] = mapped_column(server_default=sa.false())
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    corrected_at: Mapped[datetime | None]
    corrected_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None]
    outcome: Mapped[str | None]
    result_message_id: Mapped[str | None]

    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('open', 'replayed', 'discarded')", name="rejected_event_state"
        ),
        sa.Index("rejected_event_source", "source_id", "id"),
        sa.Index("rejected_event_code", "code", "id"),
        sa.Index("rejected_event_open", "id", postgresql_where=sa.text("state = 'open'")),
        sa.Index("rejected_event_received", "received_at"),
    )


class RejectedCount(Base):
    """How many rejected events of an hour were not kept, and why: consent, bound or suppressed."""

    __tablename__ = "rejected_count"

    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    why: Mapped[str] = mapped_column(primary_key=True)
    events: Mapped[int]


class RejectedRoom(Base):
    """How much of one source's rejected events was kept in the minute of the last one."""

    __tablename__ = "rejected_room"

    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    minute_at: Mapped[datetime]
    events: Mapped[int]
    bytes: Mapped[int]


class Tally(Base):
    """How many events of a source had one outcome at one time: a row per batch, later per hour.

    `span` is the seconds that a row sums up; 0 is one batch. Rows are only ever added, so that
    several writers never wait for each other.
    """

    __tablename__ = "tally"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    source_id: Mapped[int]
    at: Mapped[datetime]
    span: Mapped[int] = mapped_column(server_default=sa.text("0"))
    outcome: Mapped[str]
    reason: Mapped[str]
    events: Mapped[int]

    __table_args__ = (
        sa.CheckConstraint(
            "outcome IN ('accepted', 'duplicate', 'rejected', 'held', 'released', 'destroyed',"
            " 'replayed')",
            name="tally_outcome",
        ),
        sa.Index("tally_source", "source_id", "at"),
        sa.Index("tally_span", "span", "at"),
    )


class Progress(Base):
    """How far a reader of the event stream has come: the last (transaction, event) it has done."""

    __tablename__ = "progress"

    reader: Mapped[str] = mapped_column(primary_key=True)
    transaction: Mapped[int] = mapped_column(TransactionId, server_default=sa.text("'0'::xid8"))
    event_id: Mapped[int] = mapped_column(server_default=sa.text("0"))
    #: Of a reader that reads by time.
    moment: Mapped[datetime | None]
    #: Of the lake: what was lost is not all there again.
    anew: Mapped[bool] = mapped_column(server_default=sa.false())
