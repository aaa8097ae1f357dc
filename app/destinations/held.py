"""What receivers hold: read before something is sent, and noted once they have taken it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.db import statement
from app.destinations import seal
from app.destinations.tables import HeldRecord
from identity import graph

#: Begins what is noted of who has no record any more, because it is somebody else's.
LOST = "lost:"


@dataclass(frozen=True, slots=True)
class Held:
    """What a receiver holds of one person."""

    remote: str | None
    segments: frozenset[str]
    digest: bytes | None
    withdrawn: bool
    #: By what the receiver knows somebody else who has this record now, as long as they have it.
    lost: str | None = None


def of(session: Session, destination_id: int, profiles: Collection[UUID]) -> dict[UUID, Held]:
    """Return what a receiver holds, by profile."""
    query = sa.select(HeldRecord).where(
        HeldRecord.destination_id == destination_id, HeldRecord.profile_id.in_(sorted(profiles))
    )
    found = {}
    for row in session.scalars(query):
        remote = seal.open_(row.remote) if row.remote else None
        lost = remote.removeprefix(LOST) if remote and remote.startswith(LOST) else None
        if lost is not None:
            remote, lost = None, lost if _has(session, destination_id, lost) else None
        found[row.profile_id] = Held(
            remote, frozenset(row.segments), row.digest, row.withdrawn, lost
        )
    return found


def same(one: str, other: str | None) -> bool:
    """Say whether a receiver knows two people by the same: an address, or what it says instead."""
    return other is not None and _known_by(one) == _known_by(other)


def _known_by(remote: str) -> str:
    return remote.partition(" ")[2] or remote.removeprefix("email:")


def _has(session: Session, destination_id: int, remote: str) -> bool:
    """Say whether somebody who is in has this record."""
    query = sa.select(HeldRecord.id).where(
        HeldRecord.destination_id == destination_id,
        HeldRecord.remote_hash == _hashed(destination_id, remote),
        sa.func.cardinality(HeldRecord.segments) > 0,
    )
    return session.scalar(query.limit(1)) is not None


def put(
    session: Session,
    destination_id: int,
    row: sa.Row[Any],
    held: Held,
    *,
    at: datetime,
) -> list[tuple[int, UUID]]:
    """Note what a receiver has taken; return whose record it was before (person and profile).

    The record is now this person's: taking it back from the other must not touch it, and whoever
    is to be there still needs another: not this one again (`Held.lost`), or they would take it from
    each other for ever.
    """
    displaced: list[tuple[int, UUID]] = []
    remote_hash = _hashed(destination_id, held.remote)
    if remote_hash is not None and held.segments:
        taken = session.execute(
            sa.update(HeldRecord)
            .where(
                HeldRecord.destination_id == destination_id,
                HeldRecord.remote_hash == remote_hash,
                HeldRecord.profile_id != row.profile_id,
            )
            .values(remote=seal.seal(f"{LOST}{held.remote}"), remote_hash=None, digest=None)
            .returning(HeldRecord.person_id, HeldRecord.profile_id)
        )
        displaced = [(one.person_id, one.profile_id) for one in taken]
    values = {
        "person_id": row.person_id,
        "remote": seal.seal(held.remote) if held.remote else None,
        "remote_hash": remote_hash,
        "segments": sorted(held.segments),
        "digest": held.digest,
        "withdrawn": held.withdrawn,
        "sent_at": at,
    }
    made = insert(HeldRecord).values(
        destination_id=destination_id, profile_id=row.profile_id, **values
    )
    session.execute(
        made.on_conflict_do_update(index_elements=["destination_id", "profile_id"], set_=values)
    )
    return displaced


def any_of(session: Session, destination_id: int) -> bool:
    """Say whether a receiver holds a record of anybody, or what was emptied and is still there."""
    mine = sa.select(HeldRecord.id).where(HeldRecord.destination_id == destination_id)
    return session.scalar(mine.limit(1)) is not None


def begin(
    session: Session, destination_id: int, row: sa.Row[Any], known: Held, *, at: datetime
) -> None:
    """Note that a receiver is about to be told of somebody, for the first time."""
    made = insert(HeldRecord).values(
        destination_id=destination_id,
        profile_id=row.profile_id,
        person_id=row.person_id,
        remote=seal.seal(known.remote) if known.remote else None,
        remote_hash=_hashed(destination_id, known.remote),
        segments=sorted(known.segments),
        withdrawn=False,
        sent_at=at,
    )
    session.execute(made.on_conflict_do_nothing())


def unsure(session: Session, destination_id: int, profiles: Collection[UUID]) -> None:
    """Note that these are being told something, and that nobody knows yet whether it arrives.

    Or a change that is undone before its answer is here would be no difference to what was sent.
    """
    if profiles:
        session.execute(
            sa.update(HeldRecord)
            .where(
                HeldRecord.destination_id == destination_id,
                HeldRecord.profile_id.in_(sorted(profiles)),
                HeldRecord.digest.is_not(None),
            )
            .values(digest=None)
        )


def left(session: Session, destination_id: int, profile_id: UUID, then: Held) -> None:
    """Note that somebody has left at a receiver that could not be told, or not take all of it back.

    By what it knows the person stays on record, to be told again.
    """
    session.execute(
        sa.update(HeldRecord)
        .where(HeldRecord.destination_id == destination_id, HeldRecord.profile_id == profile_id)
        .values(segments=sorted(then.segments), withdrawn=then.withdrawn, digest=None)
    )


def looked_at(session: Session, destination_id: int, profile_id: UUID, *, at: datetime) -> None:
    """Note that what a receiver holds of this person is what it would be sent now."""
    session.execute(
        sa.update(HeldRecord)
        .where(HeldRecord.destination_id == destination_id, HeldRecord.profile_id == profile_id)
        .values(sent_at=at)
    )


def drop(session: Session, destination_id: int, profile_id: UUID) -> None:
    """Note that a receiver holds nothing of this person any more."""
    session.execute(
        sa.delete(HeldRecord).where(
            HeldRecord.destination_id == destination_id, HeldRecord.profile_id == profile_id
        )
    )


def forget_what_was_sent(session: Session, records: Collection[int]) -> None:
    """Make these records differ from what was sent last, so that all of them is sent again."""
    session.execute(sa.update(HeldRecord).where(HeldRecord.id.in_(records)).values(digest=None))


def told_of(
    session: Session, persons: Collection[int], changed: Collection[int] = ()
) -> Sequence[sa.Row[Any]]:
    """Return where some of these people are held: destination_id, person_id, profile_id.

    Of those who have `changed` in traits alone, where anything is mapped.
    """
    rows = session.execute(
        statement("app.destinations", "held_of"),
        {"people": graph.array(persons), "changed": graph.array(changed)},
    )
    return rows.all()


def _hashed(destination_id: int, remote: str | None) -> bytes | None:
    """Return the keyed hash of an id; what follows a space in it is not the id itself."""
    return seal.hashed(destination_id, remote.partition(" ")[0] or remote) if remote else None
