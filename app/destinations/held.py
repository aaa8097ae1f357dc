"""What receivers hold: read before something is sent, and noted once they have taken it."""

from collections.abc import Collection, Iterable, Sequence
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
#: Begins what is noted of a record that was somebody's before, and is emptied.
LEFT = "left:"


@dataclass(frozen=True, slots=True)
class Held:
    """What a receiver holds of one person."""

    remote: str | None
    segments: frozenset[str]
    digest: bytes | None
    withdrawn: bool
    #: By what the receiver knows the record of theirs that somebody else has, as long as they do.
    lost: str | None = None
    #: By what else it may know them: sent and not answered yet, or emptied (LEFT) and still there.
    also: tuple[str, ...] = ()
    #: Of the address that it knows them by, and nobody else meanwhile; of who is `absent`, for
    #: which they wait.
    key: bytes | None = None
    #: Whether they are in, and there is no record: it lacks what is required, or was refused.
    absent: bool = False


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
            remote, frozenset(row.segments), row.digest, row.withdrawn, lost,
            tuple(seal.open_(row.also).split("\n")) if row.also else (), row.key_hash, row.absent,
        )  # fmt: skip
    return found


def same(one: str, other: str | None) -> bool:
    """Say whether a receiver knows two people by the same: an address, or what it says instead."""
    return other is not None and _known_by(one) == _known_by(other)


def key_of(destination_id: int, known_by: str) -> bytes:
    """Return the keyed hash of the address in what a receiver knows somebody by."""
    return seal.hashed(destination_id, f"address:{_known_by(known_by)}")


def _known_by(remote: str) -> str:
    remote = remote.removeprefix(LEFT)
    return (remote.partition(" ")[2] or remote.removeprefix("email:")).casefold()


def has(session: Session, destination_id: int, key: bytes, *, beside: UUID) -> bool:
    """Say whether a receiver knows, or may know, somebody else by this address."""
    query = sa.select(HeldRecord.id).where(
        HeldRecord.destination_id == destination_id,
        HeldRecord.key_hash == key,
        HeldRecord.profile_id != beside,
        ~HeldRecord.absent,
    )
    return session.scalar(query.limit(1)) is not None


def waiting_for(
    session: Session, destination_id: int, keys: Iterable[bytes], *, limit: int
) -> list[tuple[int, int, UUID]]:
    """Return who waits for one of these addresses: destination, person, profile; some at most."""
    query = (
        sa.select(HeldRecord.destination_id, HeldRecord.person_id, HeldRecord.profile_id)
        .where(
            HeldRecord.destination_id == destination_id,
            HeldRecord.key_hash.in_(sorted(keys)),
            HeldRecord.absent,
        )
        .order_by(HeldRecord.id)
        .limit(limit)
    )
    return [(row.destination_id, row.person_id, row.profile_id) for row in session.execute(query)]


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
    values = _values(destination_id, row, held, at)
    if values["remote_hash"] is not None and held.segments and not held.absent:
        others = session.scalars(
            sa.select(HeldRecord).where(
                HeldRecord.destination_id == destination_id,
                HeldRecord.remote_hash == values["remote_hash"],
                HeldRecord.profile_id != row.profile_id,
            )
        )
        for other in others:
            was = seal.open_(other.remote or "")
            other.remote, other.remote_hash = seal.seal(f"{LOST}{was}"), None
            other.digest, other.key_hash, other.absent = None, None, bool(other.segments)
            displaced.append((other.person_id, other.profile_id))
        session.flush()
    _write(session, destination_id, row.profile_id, values)
    return displaced


def any_of(session: Session, destination_id: int) -> bool:
    """Say whether a receiver holds a record of anybody, or what was emptied and is still there."""
    mine = sa.select(HeldRecord.id).where(
        HeldRecord.destination_id == destination_id,
        ~(HeldRecord.absent & HeldRecord.remote.is_(None) & HeldRecord.also.is_(None)),
    )
    return session.scalar(mine.limit(1)) is not None


def begin(
    session: Session, destination_id: int, row: sa.Row[Any], known: Held, *, at: datetime
) -> None:
    """Note that a receiver is about to be told of somebody, for the first time."""
    made = insert(HeldRecord).values(
        destination_id=destination_id,
        profile_id=row.profile_id,
        **_values(destination_id, row, known, at),
    )
    session.execute(made.on_conflict_do_nothing())


def note(
    session: Session, destination_id: int, row: sa.Row[Any], known: Held, *, at: datetime
) -> None:
    """Note what a receiver may hold from now on, whatever was noted before."""
    _write(session, destination_id, row.profile_id, _values(destination_id, row, known, at))


def _values(destination_id: int, row: sa.Row[Any], held: Held, at: datetime) -> dict[str, Any]:
    return {
        "person_id": row.person_id,
        "remote": seal.seal(held.remote) if held.remote else None,
        "remote_hash": _hashed(destination_id, held.remote),
        "segments": sorted(held.segments),
        "digest": held.digest,
        "withdrawn": held.withdrawn,
        "also": seal.seal("\n".join(held.also)) if held.also else None,
        "key_hash": held.key,
        "absent": held.absent,
        "sent_at": at,
    }


def _write(session: Session, destination_id: int, profile_id: UUID, values: dict[str, Any]) -> None:
    made = insert(HeldRecord).values(destination_id=destination_id, profile_id=profile_id, **values)
    session.execute(
        made.on_conflict_do_update(index_elements=["destination_id", "profile_id"], set_=values)
    )


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
        .values(
            segments=sorted(then.segments),
            withdrawn=then.withdrawn,
            digest=None,
            key_hash=then.key,
            absent=then.absent,
        )
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
