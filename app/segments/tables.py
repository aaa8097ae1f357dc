"""Storage of segments and of their members."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Segment(Base):
    """A rule, the purpose it serves, and how fresh its membership is."""

    __tablename__ = "segment"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    purpose: Mapped[str]
    rule: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    refreshed_at: Mapped[datetime | None]
    refresh_milliseconds: Mapped[float | None]


class SegmentMember(Base):
    """A stay of one person in one segment; open while `left_at` is null."""

    __tablename__ = "segment_member"

    segment_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.segment.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[int] = mapped_column(primary_key=True)
    entered_at: Mapped[datetime] = mapped_column(primary_key=True)
    left_at: Mapped[datetime | None]
    why_left: Mapped[str | None]

    __table_args__ = (
        sa.Index(
            "segment_member_open",
            "segment_id",
            "person_id",
            unique=True,
            postgresql_where=sa.text("left_at IS NULL"),
        ),
        sa.Index("segment_member_person", "person_id"),
    )
