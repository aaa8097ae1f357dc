"""Storage of traits and of the change feed."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.events.tables import TransactionId


class Trait(Base):
    """The latest value of one trait that one identifier's events set.

    Traits hang on identifiers, not on people: a merge or its undo rewrites none of them, so
    both are exact. `refused` (the purposes that the event's own consent stamp refused) is part of
    the key, because a later value that may not be used must not hide an earlier one that may.
    The event's message id is here too: a trait outlives the event when retention deletes that.
    """

    __tablename__ = "trait"

    identifier_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    refused: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    occurred_at: Mapped[datetime]
    received_at: Mapped[datetime]
    source_seq: Mapped[int | None]
    event_id: Mapped[int]
    message_id: Mapped[str]
    source_id: Mapped[int]


class Change(Base):
    """One entry of the change feed, in commit order."""

    __tablename__ = "change"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(
        TransactionId, server_default=sa.text("pg_current_xact_id()")
    )
    type: Mapped[str]
    person_id: Mapped[int]
    profile_id: Mapped[UUID]
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)

    __table_args__ = (sa.Index("change_stream", "transaction", "id"),)
