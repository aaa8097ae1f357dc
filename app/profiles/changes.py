"""The change feed: one ordered stream of what happened to profiles."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors
from app.db import statement

TYPES = (
    "profile.created",
    "profile.updated",
    "profile.merged",
    "profile.split",
    "profile.erased",
    "segment.entered",
    "segment.exited",
    "consent.changed",
    "journey.deviated",
)


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened to a person and that readers of the feed must learn."""

    type: str
    person_id: int
    data: dict[str, Any] = field(default_factory=dict)
    other_person_id: int | None = None


def publish(session: Session, news: Iterable[News], *, at: datetime) -> None:
    """Append news to the feed, in order, in the transaction that made them true."""
    rows = [
        {
            "type": item.type,
            "person_id": item.person_id,
            "other_person_id": item.other_person_id,
            "data": item.data,
        }
        for item in news
    ]
    if rows:
        encoded = msgspec.json.encode(rows).decode()
        session.execute(statement("app.profiles", "publish"), {"rows": encoded, "at": at})


def read(
    session: Session, *, after: str | None, types: Sequence[str], limit: int
) -> tuple[list[sa.Row[Any]], str | None]:
    """Return changes after a cursor and the cursor to go on with (None before the first change).

    At least once and in order: a change becomes visible only when every transaction older than
    its own has ended, so none can appear later before a cursor that was handed out.
    Raises CursorInvalid.
    """
    transaction, last = cursors.decode(after, int, int) if after else (0, 0)
    rows = session.execute(
        statement("app.profiles", "changes"),
        {
            "transaction": str(transaction),
            "id": last,
            "types": list(types) or None,
            "limit": limit,
        },
    ).all()
    if not rows:
        return [], after
    return list(rows), cursors.encode(int(rows[-1].stream_transaction), rows[-1].id)


def visible(kind: str, data: dict[str, Any], purposes: Collection[str]) -> dict[str, Any] | None:
    """Return what a reader registered for these purposes may learn of a change, or None.

    Who is in a segment or has left the target of a journey, and what somebody agreed to, is told
    only to those who may state the purpose it is about; that a profile changed, merged or split is
    told to every reader.
    """
    if kind.startswith(("segment.", "journey.")):
        return data if data.get("purpose") in purposes else None
    if kind == "consent.changed":
        known = {k: v for k, v in data["purposes"].items() if k in purposes}
        return {"purposes": known} if known else None
    return data
