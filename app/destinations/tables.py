"""Storage of destinations and of the outbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Destination(Base):
    """Where to send what: a webhook, the segments it hears of, and the purpose that allows it."""

    __tablename__ = "destination"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    url: Mapped[str]
    secret: Mapped[str]
    purpose: Mapped[str]
    #: Its id in the Global Vendor List of IAB Europe, if it is a TCF vendor.
    tcf_vendor: Mapped[int | None]
    segments: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    #: What is told of it and decides nothing: recipient, region, transfer tool, agreement.
    declared: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    enabled: Mapped[bool]
    why_disabled: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Delivery(Base):
    """One message to one destination; `id` is its order, `message_id` its identity."""

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    destination_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.destination.id", ondelete="CASCADE")
    )
    message_id: Mapped[UUID] = mapped_column(unique=True)
    person_id: Mapped[int]
    profile_id: Mapped[UUID]
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=sa.text("0"))
    due_at: Mapped[datetime]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    reason: Mapped[str | None]

    __table_args__ = (
        sa.Index("delivery_due", "due_at", "id", postgresql_where=sa.text("state = 'waiting'")),
        sa.Index("delivery_destination", "destination_id", "id"),
        sa.Index(
            "delivery_order",
            "destination_id",
            "person_id",
            "id",
            postgresql_where=sa.text("state = 'waiting'"),
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'delivered', 'dropped', 'failed')", name="delivery_state"
        ),
    )
