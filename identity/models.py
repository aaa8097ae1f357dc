"""Versions of what matching has learnt: listed, compared, and one held on to."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import known
from identity.errors import ModelNotFound
from identity.known import Known
from identity.learnt import Learnt, read
from identity.lock import lock
from identity.tables import LearntModel


@dataclass(frozen=True, slots=True)
class Version:
    """One model: None as `learnt` where another version of the program learnt it."""

    run_id: int
    learnt_at: datetime
    learnt: Learnt | None
    in_force: bool
    pinned_at: datetime | None
    pinned_by: str | None


def list_all(session: Session) -> list[Version]:
    """Return all versions that are kept, newest first."""
    now = known.model(session)
    rows = session.scalars(sa.select(LearntModel).order_by(LearntModel.id.desc()))
    return [_version(row, now) for row in rows]


def in_force(session: Session) -> Version | None:
    """Return the version that new records are scored by, if there is one."""
    now = known.model(session)
    return None if now is None else _version(session.get_one(LearntModel, now.id), now)


def find(session: Session, run_id: int) -> Version:
    """Return the version that a run has learnt; raises ModelNotFound."""
    query = sa.select(LearntModel).where(LearntModel.run_id == run_id)
    row = session.scalar(query.order_by(LearntModel.id.desc()).limit(1))
    if row is None:
        raise ModelNotFound(f"run {run_id} has learnt none that is kept")
    return _version(row, known.model(session))


def pin(session: Session, run_id: int | None, *, by: str) -> Version:
    """Hold on to a version: until `unpin`, all runs score by it and learn nothing.

    Without a run it is the one before the one in force. Raises ModelNotFound where there is none,
    or none that this version of the program can read.
    """
    lock(session)
    if run_id is None:
        run_id = _before(session)
    wanted = find(session, run_id)
    if wanted.learnt is None:
        raise ModelNotFound(f"what run {run_id} has learnt is of another version of this program")
    _clear(session)
    newest = sa.select(sa.func.max(LearntModel.id)).where(LearntModel.run_id == run_id)
    session.execute(
        sa.update(LearntModel)
        .where(LearntModel.id == newest.scalar_subquery())
        .values(pinned_at=datetime.now(UTC), pinned_by=by)
    )
    session.expire_all()
    return find(session, run_id)


def unpin(session: Session) -> None:
    """Let whole runs learn again; the latest version counts until one has. Safe to repeat."""
    _clear(session)
    session.expire_all()


def held_on_to(session: Session) -> int | None:
    """Return the id of the version that is held on to, whether or not it can be read."""
    return session.scalar(sa.select(LearntModel.id).where(LearntModel.pinned_at.is_not(None)))


def give_way(session: Session, held: int | None) -> None:
    """Hold on to this version no more; to another, which somebody has chosen since, still."""
    if held is not None:
        _clear(session, LearntModel.id == held)
        session.expire_all()


def weights(version: Learnt) -> dict[str, dict[str, float]]:
    """Return, by comparison and degree of agreement, how many bits it speaks for one person.

    Agreement on a rare name counts for more than this, on a frequent one for less.
    """
    shares = version.shares
    return {
        name: {
            label: math.log2(m / u)
            for label, m, u in zip(labels, shares.m[name], shares.u[name], strict=True)
        }
        for name, labels in shares.levels.items()
    }


def compare(one: Learnt, other: Learnt) -> list[dict[str, Any]]:
    """Return the degrees of agreement of two versions with both weights, the most moved first.

    A comparison that one of them does not know has no weight in it (None), and comes last.
    """
    here, there = weights(one), weights(other)
    rows = []
    for name in {**here, **there}:
        mine, theirs = here.get(name, {}), there.get(name, {})
        for label in {**mine, **theirs}:
            both = mine.get(label), theirs.get(label)
            moved = None if both[0] is None or both[1] is None else both[0] - both[1]
            rows.append(
                {"comparison": name, "agreement": label, "match_weight": both[0],
                 "beside": both[1], "difference": moved}
            )  # fmt: skip
    return sorted(rows, key=lambda r: -1.0 if r["difference"] is None else abs(r["difference"]),
                  reverse=True)  # fmt: skip


def describe(version: Version) -> dict[str, Any]:
    """Return a version as the API shows it; of no single person.

    `match_prior` and `household_prior` are in bits: of two records taken at random.
    """
    learnt = version.learnt
    return {
        "run_id": version.run_id,
        "learnt_at": version.learnt_at.isoformat(),
        "in_force": version.in_force,
        "pinned_at": version.pinned_at.isoformat() if version.pinned_at else None,
        "pinned_by": version.pinned_by,
        "readable": learnt is not None,
        "records": learnt.records if learnt else None,
        "match_prior": _odds(learnt.shares.match) if learnt else None,
        "household_prior": _odds(learnt.shares.home) if learnt else None,
        "comparisons": sorted(learnt.shares.m) if learnt else [],
    }


def _odds(share: float) -> float:
    return math.log2(share / (1 - share))


def _version(row: LearntModel, now: Known | None) -> Version:
    force = now is not None and now.id == row.id
    return Version(row.run_id, row.learnt_at, read(row.learnt), force, row.pinned_at, row.pinned_by)


def _before(session: Session) -> int:
    now = known.model(session)
    rows = session.scalars(sa.select(LearntModel).order_by(LearntModel.id.desc()))
    older = (row for row in rows if now is not None and row.id < now.id)
    found = next((row.run_id for row in older if read(row.learnt) is not None), None)
    if found is None:
        raise ModelNotFound("none that was learnt before the one in force is kept")
    return found


def _clear(session: Session, *which: sa.ColumnElement[bool]) -> None:
    held = sa.update(LearntModel).where(LearntModel.pinned_at.is_not(None), *which)
    session.execute(held.values(pinned_at=None, pinned_by=None))
