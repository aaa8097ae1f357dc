"""Who read whom for what: every read of people's data is noted before it is answered.

Whatever looks at people says so with `saw`, wherever it is; the transaction of a request writes it
down at its end, in few statements, before anything is answered: what cannot be noted is not told.
Jobs and commands have no reader, and note nothing. A note holds ids of identifiers and no data; an
erasure takes the person's out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import cursors
from app.access.tables import Client, PersonRead
from app.db import statement

#: Notes deleted at once.
MOST = 10_000
#: Identifiers of a note that are shown as profiles.
SHOWN = 100
#: Where a session keeps who reads in it.
READER = "reader"


@dataclass(slots=True)
class Reader:
    """Who reads in a transaction, by which operation, and whom so far, by the purpose stated."""

    client_id: str
    operation: str
    read: dict[str | None, set[int]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True, slots=True)
class Asked:
    """Which notes are wanted; None is any."""

    #: Ids of identifiers, of which one must have been read.
    identifiers: tuple[int, ...] | None = None
    client_id: str | None = None
    purpose: str | None = None
    operation: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def begin(session: Session, *, client_id: str, operation: str) -> None:
    """Say who reads in this transaction."""
    session.info[READER] = Reader(client_id, operation)


def saw(session: Session, identifiers: Iterable[int], *, purpose: str | None) -> None:
    """Say that what is kept of these identifiers was looked at, for a purpose.

    Without one it is the whole person of each: their consent, or how they were put together.
    """
    reader: Reader | None = session.info.get(READER)
    if reader is not None:
        reader.read[purpose].update(identifiers)


def saw_profiles(session: Session, profiles: Collection[UUID], *, purpose: str | None) -> None:
    """Say that somebody was told of these profiles."""
    if READER in session.info and profiles:
        named = sa.text(
            "SELECT identifier_id FROM identity.current_person WHERE profile_id = ANY(:profiles)"
        )
        found = session.scalars(named, {"profiles": list(profiles)})
        saw(session, found, purpose=purpose)


def write(session: Session, *, at: datetime) -> None:
    """Note what was read in this transaction; of nobody, nothing is noted."""
    reader: Reader | None = session.info.pop(READER, None)
    if reader is None:
        return
    whole = reader.read.pop(None, set()).difference(*reader.read.values())
    said = {"read_at": at, "client_id": reader.client_id, "operation": reader.operation}
    rows = [
        {**said, "purpose": purpose, "identifier_ids": sorted(ids)}
        for purpose, ids in reader.read.items()
        if ids
    ]
    if rows:
        session.execute(sa.insert(PersonRead), rows)
    if whole:
        parameters = {**said, "identifiers": sorted(whole)}
        session.execute(statement("app.access", "note_whole_read"), parameters)


def page(
    session: Session, asked: Asked, *, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of notes as plain values, the newest first, and the cursor of the next.

    `profile_ids` are the people as they are now, of at most the first `SHOWN` identifiers. Raises
    CursorInvalid.
    """
    conditions = _conditions(asked)
    if cursor:
        conditions.append(PersonRead.id < cursors.decode(cursor, int)[0])
    query = (
        sa.select(PersonRead, Client.name)
        .outerjoin(Client, Client.client_id == PersonRead.client_id)
        .where(*conditions)
        .order_by(PersonRead.id.desc())
        .limit(limit + 1)
    )
    rows = session.execute(query).all()
    following = cursors.encode(rows[limit - 1][0].id) if len(rows) > limit else None
    shown = {row.id: _wanted(row, asked)[:SHOWN] for row, _ in rows[:limit]}
    profiles = _profiles(session, {one for ids in shown.values() for one in ids})
    return [
        {
            "at": row.read_at.isoformat(),
            "client_id": row.client_id,
            "client": name,
            "operation": row.operation,
            "purpose": row.purpose,
            "identifiers": len(row.identifier_ids),
            "profile_ids": sorted({profiles[one] for one in shown[row.id] if one in profiles}),
        }
        for row, name in rows[:limit]
    ], following


def forget(session: Session, *, before: datetime) -> bool:
    """Delete what was read before a time, some at once; say whether there may be more."""
    old = sa.select(PersonRead.id).where(PersonRead.read_at < before).limit(MOST)
    gone = session.execute(sa.delete(PersonRead).where(PersonRead.id.in_(old)))
    return int(gone.rowcount) == MOST  # type: ignore[attr-defined]  # a delete's result has it


def _wanted(row: PersonRead, asked: Asked) -> list[int]:
    """Return whom to show of a note: where it was asked for somebody, nobody else."""
    if asked.identifiers is None:
        return row.identifier_ids
    return sorted(set(row.identifier_ids).intersection(asked.identifiers))


def _conditions(asked: Asked) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if asked.identifiers is not None:
        ids: sa.ColumnElement[Any] = sa.cast(
            list(asked.identifiers), PersonRead.identifier_ids.type
        )
        found.append(PersonRead.identifier_ids.overlap(ids))
    for column, wanted in (
        (PersonRead.client_id, asked.client_id),
        (PersonRead.purpose, asked.purpose),
        (PersonRead.operation, asked.operation),
    ):
        if wanted is not None:
            found.append(column == wanted)
    if asked.since is not None:
        found.append(PersonRead.read_at >= asked.since)
    if asked.until is not None:
        found.append(PersonRead.read_at < asked.until)
    return found


def _profiles(session: Session, identifiers: Collection[int]) -> dict[int, str]:
    """Return the profile of the person that each identifier is of now; of who is gone, none."""
    rows = session.execute(
        statement("app.access", "profiles_of"), {"identifiers": sorted(identifiers)}
    )
    return {row.identifier_id: str(row.profile_id) for row in rows}
