"""Storage of segments and of their members."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class Segment(Base):
    """A rule, the purpose it serves, and how fresh its membership is.

    `refreshed_at` is as of when everybody was looked through last, `tried_at` when that was tried;
    `error` is why it cannot be done, since `failed_at`. An archived one is computed no more.
    """

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
    version: Mapped[int] = mapped_column(server_default=sa.text("1"))
    #: Open stays; changed with them, by whoever holds the lock of the segment.
    members: Mapped[int] = mapped_column(server_default=sa.text("0"))
    tried_at: Mapped[datetime | None]
    error: Mapped[str | None]
    failed_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


class SegmentVersion(Base):
    """What a segment said from a time on, and by whom; the last version is the segment's own."""

    __tablename__ = "segment_version"

    segment_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.segment.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    rule: Mapped[dict[str, Any]] = mapped_column(JSONB)
    set_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    set_by: Mapped[str]


class SegmentMember(Base):
    """A stay of one person in one segment; open while `left_at` is null.

    `version` is that of the definition by which the person came in.
    """

    __tablename__ = "segment_member"

    segment_id: Mapped[int] = mapped_column(
        sa.ForeignKey("app.segment.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[int] = mapped_column(primary_key=True)
    entered_at: Mapped[datetime] = mapped_column(primary_key=True)
    left_at: Mapped[datetime | None]
    why_left: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=sa.text("1"))

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


class PeopleList(Base):
    """A list of people that was taken for a purpose; whom it names is in `PeopleListMember`."""

    __tablename__ = "people_list"

    key: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class PeopleListMember(Base):
    """A person of a list, by the identifier that it was named after."""

    __tablename__ = "people_list_member"

    list: Mapped[str] = mapped_column(
        sa.ForeignKey("app.people_list.key", ondelete="CASCADE"), primary_key=True
    )
    identifier_id: Mapped[int] = mapped_column(primary_key=True, index=True)
