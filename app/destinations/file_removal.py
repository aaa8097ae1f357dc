"""Takes people out of the files that we keep ourselves, where no message does.

What a destination of the kind `file` wrote in our data directory is ours, and not a receiver's: it
goes with the destination, and who is erased or may be had no more is taken out also while nothing
is sent there. Buckets are the receiver's, whose secrets went with the destination.
"""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import Sessions
from app.destinations import file, folders, held, outbox
from app.destinations.tables import Delivery, Destination, HeldRecord
from app.errors import DefinitionInvalid

#: What is ours in a folder: the parts, and what a process that died left of one.
PARTS = re.compile(r"part-\d{3}\.(csv|parquet)(\.new)?")
#: So long may a batch be under way that was decided before the destination was removed; longer than
#: the lease of `deliver`.
UNDER_WAY = timedelta(minutes=3)
#: People who are looked at in one transaction: every part may be written anew for them.
AT_ONCE = 5_000
LOOKED_AT = "looked at while the destination is switched off"
_directory = Destination.settings["directory"].astext
_kept = (Destination.kind == file.File.name, _directory.is_not(None))


def is_alone(session: Session, directory: str, *, beside: int | None = None) -> None:
    """Check that no other destination writes into a directory, nor one that was removed just now.

    Each would take the other's people for its own, and removing one would delete both. Raises
    DefinitionInvalid.
    """
    lock = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('exports ' || :name, 0))")
    session.execute(lock, {"name": directory})
    others = sa.select(Destination.id).where(*_kept, _directory == directory)
    if session.scalar(others.where(Destination.id.is_distinct_from(beside)).limit(1)) is not None:
        raise DefinitionInvalid(
            "#/settings/directory: another destination writes there, or one that was removed some"
            " minutes ago"
        )


def clear(session: Session, *, now: datetime) -> int:
    """Delete the files of destinations that were removed; return how many files there were.

    Again and again until nothing that was under way can have written any; then the directory is
    free for another.
    """
    removed = sa.select(Destination).where(*_kept, Destination.removed_at.is_not(None))
    deleted = 0
    for one in session.scalars(removed.with_for_update(skip_locked=True)):
        over = one.removed_at is not None and one.removed_at < now - UNDER_WAY
        directory = one.settings["directory"]
        others = sa.select(Destination.id).where(
            *_kept, _directory == directory, Destination.removed_at.is_(None)
        )
        sharing = session.scalars(others).all()  # of before that was refused
        if sharing and not over:
            continue
        deleted += _delete(folders.folder(directory))
        for other in sharing:
            _write_anew(session, other, now=now)
        if over:
            one.settings = {**one.settings, "directory": None}
    return deleted


def take_out(sessions: Sessions, *, now: datetime) -> int:
    """Take who may be had no more out of the files of destinations that are switched off.

    Nothing is written there that is new: who agrees again, and all else that changed, is found by
    the sync that switching on asks for. Only whom something happened to is looked at. Return how
    many were taken out. Raises what kept the files of one from being written, after the others.
    """
    with sessions() as session:
        off = session.scalars(sa.select(Destination.id).where(*_switched_off(now))).all()
    taken, errors = 0, list[Exception]()
    for one in off:
        try:
            taken += _take_out(sessions, one, now)
        except (OSError, ValueError) as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return taken


def _switched_off(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Say of which destinations the files are here and nobody else is writing them."""
    return (
        *_kept,
        Destination.removed_at.is_(None),
        Destination.enabled.is_(False),
        Destination.not_before <= now,
    )


def _take_out(sessions: Sessions, destination_id: int, now: datetime) -> int:
    taken, full = 0, True
    while full:
        with sessions.begin() as session:
            this = sa.select(Destination).where(
                *_switched_off(now), Destination.id == destination_id
            )
            destination = session.scalar(this.with_for_update(key_share=True))
            if destination is None:  # it was switched on, or removed
                return taken
            looks = session.scalars(
                sa.select(Delivery)
                .where(
                    Delivery.destination_id == destination_id,
                    Delivery.state == "waiting",
                    Delivery.type == outbox.UPDATED,
                )
                .order_by(Delivery.id)
                .limit(AT_ONCE)
            ).all()
            full = len(looks) == AT_ONCE
            _, denied = outbox.decided(
                session,
                destination.purpose,
                {look.person_id for look in looks},
                now=now,
                tcf_vendor=destination.tcf_vendor,
                also_for=destination.also_for,
            )
            gone = {look.profile_id for look in looks if look.person_id in denied}
            file.forget(destination.settings, {str(one) for one in gone})
            rows = sa.select(HeldRecord.id).where(
                HeldRecord.destination_id == destination_id, HeldRecord.profile_id.in_(gone)
            )
            held.forget_what_was_sent(session, session.scalars(rows).all())
            for look in looks:
                look.state, look.reason, look.ended_at = "dropped", LOOKED_AT, now
            taken += len(gone)
    return taken


def _write_anew(
    session: Session, destination: int, *, now: datetime, among: Collection[UUID] | None = None
) -> None:
    """Have rows that were deleted be written again: of all profiles, or of `among` these."""
    mine = HeldRecord.destination_id == destination
    records = session.execute(
        sa.select(HeldRecord.id, HeldRecord.person_id, HeldRecord.profile_id).where(
            mine if among is None else mine & HeldRecord.profile_id.in_(among)
        )
    ).all()
    held.forget_what_was_sent(session, [one.id for one in records])
    again = [(destination, one.person_id, one.profile_id) for one in records]
    outbox.look_again(session, again, now=now)


def _delete(folder: Path) -> int:
    parts = [path for path in folder.glob("part-*") if PARTS.fullmatch(path.name)]
    for path in parts:
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return len(parts)


def waits(destination: Destination) -> bool:
    """Say whether files of a destination that was removed are still to be deleted."""
    return destination.removed_at is not None and bool(destination.settings.get("directory"))


def forget(
    session: Session,
    destination: Destination,
    gone: Collection[UUID],
    told_as: Collection[UUID],
    *,
    now: datetime,
) -> bool | None:
    """Take profiles out of the files of a destination that is switched off.

    Also those that somebody who is gone was `told_as`: what is said of them is written anew once it
    is switched on. Return whether it keeps its files here; None while somebody else may be writing.
    """
    if destination.kind != file.File.name or not destination.settings.get("directory"):
        return False
    session.refresh(destination, with_for_update={"key_share": True})  # so that it stays off
    if destination.enabled or destination.not_before > now:
        return None
    file.forget(destination.settings, {str(one) for one in (*gone, *told_as)})
    _write_anew(session, destination.id, now=now, among=told_as)
    return True
