"""Takes people out of the files that we keep ourselves, where no message does.

What a destination of the kind `file` wrote in our data directory is ours, and not a receiver's: it
goes with the destination, and who is erased is taken out also while nothing is sent there. Buckets
are the receiver's, whose secrets went with the destination.
"""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.destinations import file, held, outbox
from app.destinations.tables import Destination, HeldRecord
from app.errors import DefinitionInvalid

#: What is ours in a folder: the parts, and what a process that died left of one.
PARTS = re.compile(r"part-\d{3}\.(csv|parquet)(\.new)?")
#: So long may a batch be under way that was decided before the destination was removed; longer than
#: the lease of `deliver`.
UNDER_WAY = timedelta(minutes=3)
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
        deleted += _delete(file.folder(directory))
        for other in sharing:
            _write_anew(session, other, now=now)
        if over:
            one.settings = {**one.settings, "directory": None}
    return deleted


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
