"""Which version of a journey is its reference, and which journeys are put away.

A reference is frozen: while there is one, nobody saves another version. A journey that is put away
is neither listed nor followed; its versions stay, for the answers that name them.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import DefinitionInvalid, JourneyFrozen, JourneyNotFound
from app.journeys import due
from app.journeys.definition import Journey
from app.journeys.tables import JourneyStanding

_FRAME = ("objective", "scope", "owner", "kpis")


def standing(session: Session, key: str) -> JourneyStanding | None:
    """Return how a journey stands; none where it never had a reference nor was put away."""
    return session.get(JourneyStanding, key, populate_existing=True)


def references(session: Session) -> dict[str, int]:
    """Return the reference version of each journey that has one."""
    rows = session.execute(
        sa.select(JourneyStanding.key, JourneyStanding.reference).where(
            JourneyStanding.reference.is_not(None)
        )
    )
    return {key: version for key, version in rows if version is not None}


def freeze(session: Session, key: str, version: int, journey: Journey, *, by: str) -> None:
    """Make a version the reference of its journey, in the place of one that was.

    The caller holds the journey's lock. Raises DefinitionInvalid for one that lacks what frames it:
    an objective, a scope, an owner, a KPI.
    """
    missing = [part for part in _FRAME if not getattr(journey, part)]
    if missing:
        raise DefinitionInvalid(f"#/{missing[0]}: a reference needs its {', '.join(missing)}")
    _set(session, key, reference=version, frozen_by=by, frozen_at=datetime.now(UTC))


def release(session: Session, key: str) -> None:
    """Let a journey be changed again; raises JourneyNotFound where nothing is frozen."""
    found = standing(session, key)
    if found is None or found.reference is None:
        raise JourneyNotFound(f"{key} has no reference")
    _set(session, key, reference=None, frozen_by=None, frozen_at=None)


def put_away(session: Session, key: str) -> None:
    """Archive a journey, and take back what its target told of people.

    Once is as good as twice. Raises JourneyFrozen where there is a reference.
    """
    refuse_frozen(session, key)
    found = standing(session, key)
    if found is None or found.archived_at is None:
        _set(session, key, archived_at=datetime.now(UTC))
        due.anew(session, key)


def take_out(session: Session, key: str) -> None:
    """List and follow a journey again, because somebody saved a version of it."""
    found = standing(session, key)
    if found is not None and found.archived_at is not None:
        _set(session, key, archived_at=None)
        due.anew(session, key)


def refuse_frozen(session: Session, key: str) -> None:
    """Raise JourneyFrozen where a journey has a reference."""
    found = standing(session, key)
    if found is not None and found.reference is not None:
        raise JourneyFrozen(
            f"version {found.reference} of {key!r} is the reference, frozen by {found.frozen_by};"
            " release it first, or save the changed map under another key"
        )


def _set(session: Session, key: str, **values: object) -> None:
    session.execute(
        insert(JourneyStanding)
        .values(key=key, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )
