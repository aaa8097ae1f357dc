"""Storage of journey definitions; a version, once written, never changes."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class JourneyVersion(Base):
    """One version of one journey definition."""

    __tablename__ = "journey"

    key: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    definition_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class Analysis(Base):
    """A question that was answered, so that its numbers can be opened; the answer is not kept."""

    __tablename__ = "analysis"

    query_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    purpose: Mapped[str]
    as_of: Mapped[datetime]
    fingerprint: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(server_default=sa.func.now(), index=True)
