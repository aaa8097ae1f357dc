"""The change feed: one ordered stream of what happened to profiles."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app import cursors
from app.consents.permission import permissions
from app.db import statement
from app.errors import CursorInvalid, DefinitionInvalid
from identity import people

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
    A cursor may also be the sequence of a change. Raises CursorInvalid.
    """
    transaction, last = _place(after)
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


def check_types(types: Iterable[str]) -> None:
    """Raise DefinitionInvalid for a type that the feed has none of: it would be waited for."""
    for name in types:
        if name not in TYPES:
            near = get_close_matches(name, TYPES, n=2)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            raise DefinitionInvalid(f"types: no change is called {name}{meant}")


def sequence(change: sa.Row[Any]) -> str:
    """Return the place of a change in the feed, as a text that sorts as the feed does.

    As the extension `sequence` of CloudEvents has it; programs keep the largest they have seen.
    """
    return f"{int(change.stream_transaction):020d}-{change.id:020d}"


#: What a sequence looks like; no cursor has a hyphen there.
SEQUENCE = re.compile(r"([0-9]{20})-([0-9]{20})")


def _place(after: str | None) -> tuple[int, int]:
    found = SEQUENCE.fullmatch(after) if after else None
    transaction, last = (
        map(int, found.groups()) if found else cursors.decode(after, int, int) if after else (0, 0)
    )
    if max(transaction, last) >= 2**62:
        raise CursorInvalid("take `sequence` from a change as it is")
    return transaction, last


def told(
    session: Session, rows: Sequence[sa.Row[Any]], purposes: Collection[str]
) -> list[tuple[sa.Row[Any], dict[str, Any]]]:
    """Return the changes that a reader registered for these purposes may learn of, and what.

    Who is in a segment or has left the target of a journey, and what somebody agreed to, is told
    only to those who may state the purpose it is about; that a profile changed, merged or split is
    told to every reader. That somebody came into a segment, or how they left a journey, is told no
    more once they do not allow it; that they went from a segment is, to whoever was told before.
    """
    seen = [(row, _visible(row.type, row.data, purposes)) for row in rows]
    left = _disallowed(session, [row for row, data in seen if data and _asks_again(row.type)])
    return [(row, data) for row, data in seen if data is not None and row.id not in left]


def _asks_again(kind: str) -> bool:
    return kind.startswith("journey.") or kind == "segment.entered"


def _disallowed(session: Session, rows: Iterable[sa.Row[Any]]) -> set[int]:
    """Return which of these changes are about somebody who does not allow their purpose now."""
    by_purpose: dict[str, dict[int, int]] = defaultdict(dict)
    for row in rows:
        by_purpose[row.data["purpose"]][row.id] = row.person_id
    known = consent.catalogue.purposes(session) if by_purpose else {}
    gone: set[int] = set()
    for key, subjects in by_purpose.items():
        allowed: set[int] = set()
        now = {subject: subject for subject in subjects.values()}
        if key in known:
            if known[key].link_confidence == "probable":  # who was merged since is another person
                now = people.people_of(session, set(now))
            decided = permissions(session, known[key], set(now.values()))
            allowed = {one.person_id for one in decided if one.allowed}
        gone |= {change for change, subject in subjects.items() if now.get(subject) not in allowed}
    return gone


def _visible(kind: str, data: dict[str, Any], purposes: Collection[str]) -> dict[str, Any] | None:
    if kind.startswith(("segment.", "journey.")):
        return data if data.get("purpose") in purposes else None
    if kind == "consent.changed":
        known = {k: v for k, v in data["purposes"].items() if k in purposes}
        return {"purposes": known} if known else None
    return data
