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
