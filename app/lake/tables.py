"""Storage of the list of Parquet files that make up the lake."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base


class LakePart(Base):
    """One immutable Parquet file; a file that is not listed here is not part of the lake."""

    __tablename__ = "lake_part"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    file: Mapped[str] = mapped_column(unique=True)
    events: Mapped[int]
    #: Of its bytes; none of files that an older version wrote, until the worker has read them.
    checksum: Mapped[str | None]
    copied_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


class LakeRemoval(Base):
    """An event that was deleted and may still be in a file: no reader of the lake sees it.

    One to be put in `again` is in the database, but no longer as the file has it.
    """

    __tablename__ = "lake_removal"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    again: Mapped[bool] = mapped_column(server_default=sa.false())
