"""Storage of retention rules."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class RetentionRule(Base):
    """How many days some events are kept; null stands for "any", as days for "for ever"."""

    __tablename__ = "retention_rule"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    source_id: Mapped[int | None]
    type: Mapped[str | None]
    event: Mapped[str | None]
    days: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())

    __table_args__ = (
        sa.UniqueConstraint(
            "source_id",
            "type",
            "event",
            name="retention_rule_key",
            postgresql_nulls_not_distinct=True,
        ),
    )
