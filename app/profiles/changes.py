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


#: Where a change is in the feed: its number and its id.
Place = tuple[int, int]
BEGINNING: Place = (0, 0)
#: Changes that one read looks at for those of the types that are asked for.
LOOKED = 10_000


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


@dataclass(frozen=True, slots=True)
class Page:
    """Changes, the place in the feed at which the look at it ended, whether there are more."""

    rows: list[sa.Row[Any]]
    end: Place
    more: bool

    @property
    def following(self) -> str | None:
        """The cursor to go on with; None before the first change."""
        return cursors.encode(*self.end) if self.end != BEGINNING else None


def read(session: Session, *, after: str | None, types: Sequence[str], limit: int) -> Page:
    """Return the changes `since` a cursor, which may also be the sequence of a change.

    Raises CursorInvalid.
    """
    return since(session, _place(after), types=types, limit=limit)


def since(session: Session, place: Place, *, types: Sequence[str], limit: int) -> Page:
    """Return the next changes after a place, of these types if any are named.

    At least once and in order: a change becomes visible only when every transaction that may still
    write before it has ended, so none can appear later before a cursor that was handed out. No more
    than LOOKED are looked at, and the end is past those of other types too.
    """
    window = LOOKED if types else limit
    looked = session.execute(
        statement("app.profiles", "changes"),
        {
            "transaction": str(place[0]),
            "id": place[1],
            "types": list(types) or None,
            "limit": limit,
            "window": window,
        },
    ).all()
    if not looked:
        return Page([], place, more=False)
    last = looked[-1]
    rows = [row for row in looked if row.id is not None]
    if len(rows) == limit:
        return Page(rows, (int(last.stream_transaction), last.id), more=True)
    return Page(rows, (int(last.last_transaction), last.last_id), more=last.looked == window)


def newest(session: Session) -> Place:
    """Return the place of the last change that may be read now."""
    query = (
        "SELECT CAST(transaction AS text), id FROM app.change"
        " WHERE transaction < pg_snapshot_xmin(pg_current_snapshot())"
        " ORDER BY transaction DESC, id DESC LIMIT 1"
    )
    row = session.execute(sa.text(query)).one_or_none()
    return (int(row[0]), row[1]) if row is not None else BEGINNING


def place_of(session: Session, reader: str) -> Place:
    """Return how far a reader of ours has come, and let no other go on meanwhile."""
    query = (
        "SELECT CAST(transaction AS text), event_id FROM app.progress WHERE reader = :reader"
        " FOR UPDATE"
    )
    transaction, last = session.execute(sa.text(query), {"reader": reader}).one()
    return int(transaction), last


def done(session: Session, reader: str, place: Place) -> None:
    """Note, in the transaction that did the work, that a reader has come as far as this."""
    note = (
        "UPDATE app.progress SET transaction = CAST(CAST(:transaction AS text) AS xid8),"
        " event_id = :last WHERE reader = :reader"
    )
    bound = {"transaction": str(place[0]), "last": place[1], "reader": reader}
    session.execute(sa.text(note), bound)


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


def _place(after: str | None) -> Place:
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
