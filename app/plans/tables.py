"""Storage of tracking plans, of where they hold, and of what differed from them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class TrackingPlan(Base):
    """A tracking plan; what it says stands in its versions. `revision` counts every change."""

    __tablename__ = "tracking_plan"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    revision: Mapped[int] = mapped_column(server_default=sa.text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class TrackingPlanVersion(Base):
    """One version of a plan. Published it never changes; the newest published one is in force.

    `json` keeps the order in which the author wrote the properties.
    """

    __tablename__ = "tracking_plan_version"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    plan_id: Mapped[int] = mapped_column(sa.ForeignKey("app.tracking_plan.id", ondelete="CASCADE"))
    number: Mapped[int]
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    published_at: Mapped[datetime | None]

    __table_args__ = (sa.UniqueConstraint("plan_id", "number"),)


class TrackingPlanSource(Base):
    """A source whose events a plan is put to; a source has one plan at most."""

    __tablename__ = "tracking_plan_source"

    source_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.source.id", ondelete="CASCADE"), primary_key=True
    )
    plan_id: Mapped[int] = mapped_column(sa.ForeignKey("app.tracking_plan.id"), index=True)
    attached_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class PlanViolation(Base):
    """How many events of an hour broke their plan in one way. Never a value of theirs."""

    __tablename__ = "plan_violation"

    version_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.tracking_plan_version.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[int] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    pointer: Mapped[str] = mapped_column(primary_key=True)
    keyword: Mapped[str] = mapped_column(primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    invented: Mapped[bool]
    events: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    message_id: Mapped[str]

    __table_args__ = (sa.Index("plan_violation_hour", "hour"),)


class PlanViolationArrival(Base):
    """What one batch of events adds to the violations; the worker sums it up into the hours.

    Writers only append, so that no two of them wait for the same row.
    """

    __tablename__ = "plan_violation_arrival"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    version_id: Mapped[int]
    source_id: Mapped[int]
    type: Mapped[str]
    event: Mapped[str]
    pointer: Mapped[str]
    keyword: Mapped[str]
    action: Mapped[str]
    invented: Mapped[bool]
    events: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]
    message_id: Mapped[str]
