"""Storage of journey definitions; a version, once written, never changes."""

from datetime import datetime
from typing import Any
from uuid import UUID

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
    """When it was counted where people go next in a version of a journey."""

    __tablename__ = "journey_flow"

    journey: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    computed_at: Mapped[datetime]


class JourneyNext(Base):
    """Where people went next from a touchpoint, after `before` ('': after whatever), in counts.

    `total` are all visits; `following` has [touchpoint, visits, median seconds] of the most
    frequent. A row of its own, as one person asks for two of the thousands that a map may have.
    """

    __tablename__ = "journey_next"

    journey: Mapped[str] = mapped_column(
        sa.ForeignKey("app.journey_flow.journey", ondelete="CASCADE"), primary_key=True
    )
    touchpoint: Mapped[str] = mapped_column(primary_key=True)
    before: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int]
    following: Mapped[list[Any]] = mapped_column(JSONB)


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


class SavedQuestion(Base):
    """A question that is asked again and again, and what came of it the last time.

    `state` is what was looked at: the figure, the chance alerts of a year, or why there is none.
    `failures` counts how often in a row it was asked and came to no end that was noted.
    """

    __tablename__ = "saved_analysis"

    key: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    purpose: Mapped[str]
    #: Whether its answers tell of people by the values of traits.
    of_traits: Mapped[bool]
    saved_at: Mapped[datetime]
    due_at: Mapped[datetime] = mapped_column(index=True)
    looked_at: Mapped[datetime | None]
    state: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    failures: Mapped[int] = mapped_column(server_default=sa.text("0"))
    failing_since: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]


class AnalysisAlert(Base):
    """What a saved analysis found that is to be told; `what` tells one from another.

    It ends when that holds no longer. Told once to the destination that the analysis named, and to
    whom it was told, once, that it is over. One whose analysis was changed or removed is of none
    (`saved`), and goes when that is told. `about` says of which analysis a message is.
    """

    __tablename__ = "analysis_alert"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    saved: Mapped[str | None] = mapped_column(
        sa.ForeignKey("app.saved_analysis.key", ondelete="CASCADE"), index=True
    )
    about: Mapped[dict[str, Any]] = mapped_column(JSONB)
    destination: Mapped[str | None]
    what: Mapped[str]
    found: Mapped[dict[str, Any]] = mapped_column(JSONB)
    raised_at: Mapped[datetime]
    #: Why it is over, and by which figure.
    ended: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    ended_at: Mapped[datetime | None]
    #: Of the message that is to be sent: that it was found, then that it is over.
    tries: Mapped[int] = mapped_column(server_default=sa.text("0"))
    due_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    end_told_at: Mapped[datetime | None]
    why_untold: Mapped[str | None]

    __table_args__ = (
        sa.Index(
            "analysis_alert_open",
            "saved",
            "what",
            unique=True,
            postgresql_where=sa.text("ended_at IS NULL"),
        ),
    )

    def end(self, now: datetime, why: dict[str, Any]) -> None:
        """Note that it is over; who was told of it is to be told that as well."""
        self.ended_at, self.ended = now, why
        if self.told_at is not None and self.destination is not None:
            self.due_at, self.tries, self.why_untold = now, 0, None
