"""Storage of single denials: who was denied what, and why, for some weeks."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class DeniedUse(Base):
    """One decision that denied a use, with the ids of all whom it denied for the same reason."""

    __tablename__ = "denied_use"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    denied_at: Mapped[datetime]
    use: Mapped[str]
    purpose: Mapped[str]
    reason: Mapped[str]
    identifier_ids: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))

    __table_args__ = (
        sa.Index("denied_use_identifiers", "identifier_ids", postgresql_using="gin"),
        sa.Index("denied_use_at", "denied_at", postgresql_using="brin"),
    )
