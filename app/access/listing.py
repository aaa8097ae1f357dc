"""Lists the sources in use, a page at a time."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access.tables import Source


def list_page(session: Session, *, after: str | None, limit: int) -> list[Source]:
    """Return sources in use by name: those after a name, at most `limit`."""
    query = sa.select(Source).where(Source.removed_at.is_(None)).order_by(Source.name).limit(limit)
    if after is not None:
        query = query.where(Source.name > after)
    return list(session.scalars(query))
