"""Journey definitions: stored in versions that never change."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

import consent
from app.errors import JourneyNotFound
from app.journeys import due
from app.journeys.definition import Journey, definition_hash
from app.journeys.tables import JourneyVersion


def save(session: Session, journey: Journey) -> JourneyVersion:
    """Store a definition as the next version of its key; an equal one is returned as it is.

    Raises PurposeNotFound.
    """
    consent.catalogue.purpose(session, journey.purpose)
    digest = definition_hash(journey)
    last = _last(session, journey.key)
    if last is not None and last.definition_hash == digest:
        return last
    version = JourneyVersion(
        key=journey.key,
        version=1 if last is None else last.version + 1,
        definition=journey.model_dump(mode="json", by_alias=True, exclude_none=True),
        definition_hash=digest,
    )
    session.add(version)
    session.flush()
    before = last.definition.get("target") if last is not None else None
    if version.definition.get("target") != before:
        due.anew(session, journey.key)
    return version


def find(session: Session, key: str) -> tuple[JourneyVersion, Journey]:
    """Return the newest version of a journey; raises JourneyNotFound."""
    last = _last(session, key)
    if last is None:
        raise JourneyNotFound(key)
    return last, Journey.model_validate(last.definition)


def list_all(session: Session) -> list[tuple[JourneyVersion, Journey]]:
    """Return the newest version of every journey, by key."""
    return [(row, Journey.model_validate(row.definition)) for row in _newest(session)]


def of_purpose(session: Session, purpose: str) -> list[tuple[JourneyVersion, Journey]]:
    """Return the newest version of the journeys that serve a purpose, by key."""
    rows = [row for row in _newest(session) if row.definition["purpose"] == purpose]
    return [(row, Journey.model_validate(row.definition)) for row in rows]


def _newest(session: Session) -> Sequence[JourneyVersion]:
    return session.scalars(
        sa.select(JourneyVersion)
        .ext(distinct_on(JourneyVersion.key))
        .order_by(JourneyVersion.key, JourneyVersion.version.desc())
    ).all()


def _last(session: Session, key: str) -> JourneyVersion | None:
    return session.scalar(
        sa.select(JourneyVersion)
        .where(JourneyVersion.key == key)
        .order_by(JourneyVersion.version.desc())
        .limit(1)
    )
