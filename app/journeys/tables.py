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


class JourneyStanding(Base):
    """Which version of a journey is its reference, and whether it is put away."""

    __tablename__ = "journey_standing"
    __table_args__ = (
        sa.ForeignKeyConstraint(["key", "reference"], ["app.journey.key", "app.journey.version"]),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[int | None]
    frozen_by: Mapped[str | None]
    frozen_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


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


class JourneyFlow(Base):
    """Where people went next in a journey, in counts, as of a time."""

    __tablename__ = "journey_flow"

    journey: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    computed_at: Mapped[datetime]
    flow: Mapped[dict[str, Any]] = mapped_column(JSONB)


class JourneyDue(Base):
    """When somebody's standing in a journey with a target is to be looked at again."""

    __tablename__ = "journey_due"

    journey: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(index=True)


class JourneyDeviation(Base):
    """How somebody's present way through a journey differs from its target; told once."""

    __tablename__ = "journey_deviation"

    journey: Mapped[str] = mapped_column(primary_key=True)
    subject_id: Mapped[int] = mapped_column(primary_key=True, index=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    touchpoint: Mapped[str] = mapped_column(primary_key=True)
    to_touchpoint: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    raised_at: Mapped[datetime]
