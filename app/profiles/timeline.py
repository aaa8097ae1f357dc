"""The timeline of one person: their events, a page at a time, in either direction."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors
from app.db import statement
from app.profiles.read import View

#: Before and after every event there can be, as (time, place, receipt, id).
LAST = ("infinity", 2**62, "infinity", 2**62)
FIRST = ("-infinity", -1, "-infinity", -1)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events of a timeline are asked for; None does not choose.

    `since` is the first moment that counts, `until` the first that does not. `names` are those of
    events (of track calls) and of pages and screens, `without` those that are left out.
    """

    types: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    without: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    ascending: bool = False


ALL = Asked()


def page(
    session: Session, view: View, asked: Asked = ALL, *, cursor: str | None = None, limit: int
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return a page of the timeline, newest first unless `ascending`, and the next page's cursor.

    Events whose own stamp refused the purpose are left out for good. A cursor belongs to the
    question that it came from. Raises CursorInvalid.
    """
    after = cursors.decode(cursor, str, int, str, int) if cursor else None
    if after is None:
        after = FIRST if asked.ascending else LAST
    rows = session.execute(
        _query(asked.ascending),
        {
            "identifiers": list(view.allowed),
            "purpose": view.purpose,
            "at": after[0],
            "place": after[1],
            "received_at": after[2],
            "id": after[3],
            "since": asked.since,
            "until": asked.until,
            "types": _array(asked.types),
            "names": _array(asked.names),
            "without": _array(asked.without),
            "sources": _array(asked.sources),
            "limit": limit + 1,
        },
    ).all()
    if len(rows) <= limit:
        return list(rows), None
    last = rows[limit - 1]
    mark = cursors.encode(
        last.occurred_at.isoformat(), last.place, last.received_at.isoformat(), last.id
    )
    return list(rows[:limit]), mark


def ends(session: Session, view: View) -> dict[int, sa.Row[Any]]:
    """Return the first and the last event of each identifier that may be seen and has any."""
    rows = session.execute(
        statement("app.profiles", "ends"),
        {"identifiers": list(view.allowed), "purpose": view.purpose},
    )
    return {row.identifier_id: row for row in rows}


def _array(chosen: tuple[str, ...] | None) -> list[str] | None:
    return None if chosen is None else list(chosen)


@cache
def _query(ascending: bool) -> sa.TextClause:
    newest_first = statement("app.profiles", "timeline")
    if not ascending:
        return newest_first
    text = newest_first.text.replace(" DESC", " ASC")
    text = text.replace("<= CAST(:at", ">= CAST(:at").replace("< (CAST(:at", "> (CAST(:at")
    return sa.text(text)
