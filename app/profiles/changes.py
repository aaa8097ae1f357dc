"""The change feed: one ordered stream of what happened to profiles."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors
from app.db import statement
from app.profiles.tables import Change
from identity import people

TYPES = (
    "profile.created",
    "profile.updated",
    "profile.merged",
    "profile.split",
    "segment.entered",
    "segment.exited",
    "consent.changed",
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
    items = list(news)
    if not items:
        return
    named = {item.person_id for item in items}
    named |= {item.other_person_id for item in items if item.other_person_id is not None}
    profiles = people.profile_ids(session, named)
    session.execute(
        sa.insert(Change),
        [
            {
                "type": item.type,
                "person_id": item.person_id,
                "profile_id": profiles[item.person_id],
                "at": at,
                "data": item.data
                | (
                    {"other_profile_id": str(profiles[item.other_person_id])}
                    if item.other_person_id is not None
                    else {}
                ),
            }
            for item in items
        ],
    )


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

    Who is in a segment, and what somebody agreed to, is told only to those who may state the
    purpose it is about; that a profile changed, merged or split is told to every reader.
    """
    if kind.startswith("segment."):
        return data if data.get("purpose") in purposes else None
    if kind == "consent.changed":
        known = {k: v for k, v in data["purposes"].items() if k in purposes}
        return {"purposes": known} if known else None
    return data
