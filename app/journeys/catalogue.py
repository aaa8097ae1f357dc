"""Journey definitions: stored in versions that never change; and where one profile stands."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

import consent
from app.errors import JourneyNotFound
from app.journeys.definition import EventView, Journey, current_stage, definition_hash
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
    return version


def find(session: Session, key: str) -> tuple[JourneyVersion, Journey]:
    """Return the newest version of a journey; raises JourneyNotFound."""
    last = _last(session, key)
    if last is None:
        raise JourneyNotFound(key)
    return last, Journey.model_validate(last.definition)


def list_all(session: Session) -> list[tuple[JourneyVersion, Journey]]:
    """Return the newest version of every journey, by key."""
    rows = session.scalars(
        sa.select(JourneyVersion)
        .ext(distinct_on(JourneyVersion.key))
        .order_by(JourneyVersion.key, JourneyVersion.version.desc())
    )
    return [(row, Journey.model_validate(row.definition)) for row in rows]


def _last(session: Session, key: str) -> JourneyVersion | None:
    return session.scalar(
        sa.select(JourneyVersion)
        .where(JourneyVersion.key == key)
        .order_by(JourneyVersion.version.desc())
        .limit(1)
    )


def stages(
    session: Session, timeline: Iterable[EventView], *, purpose: str
) -> list[dict[str, Any]]:
    """Return where a timeline (oldest event first) stands in each journey of this purpose."""
    events = list(timeline)
    found = []
    for version, journey in list_all(session):
        if journey.purpose == purpose:
            stage = current_stage(journey, events)
            found.append(
                {
                    "journey": version.key,
                    "version": version.version,
                    "stage": stage.id if stage else None,
                }
            )
    return found
