"""The analyses that are saved: defined, found, and what was found of them so far."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.destinations import registry
from app.errors import DefinitionInvalid, DestinationNotFound, SavedAnalysisNotFound
from app.journeys.saved_request import SavedAnalysis
from app.journeys.tables import AnalysisAlert, SavedQuestion

#: Each is asked as often as it says.
MOST = 200


def put(
    session: Session,
    key: str,
    wanted: SavedAnalysis,
    *,
    purpose: str,
    of_traits: bool,
    now: datetime,
) -> SavedQuestion:
    """Save an analysis, or change it, and have it asked at once.

    What was found by another question or another bound is forgotten with it. `of_traits` says
    that its answers tell of people by the values of traits. Raises PurposeNotFound, and
    DefinitionInvalid where the destination is none that can be told.
    """
    consent.catalogue.purpose(session, purpose)
    if wanted.alert is not None and wanted.alert.destination is not None:
        _check(session, wanted.alert.destination, purpose)
    definition = wanted.model_dump(mode="json", exclude_unset=True)
    found = session.get(SavedQuestion, key, with_for_update=True)
    if found is None:
        session.execute(sa.text("LOCK TABLE app.saved_analysis IN SHARE ROW EXCLUSIVE MODE"))
        found = session.get(SavedQuestion, key, populate_existing=True)
    if found is None:
        if len(list_all(session)) >= MOST:
            raise DefinitionInvalid(f"there are {MOST} saved analyses, and no more may be")
        found = SavedQuestion(key=key)
        session.add(found)
    elif found.definition == definition and found.purpose == purpose:
        return found
    else:
        session.execute(sa.delete(AnalysisAlert).where(AnalysisAlert.saved == key))
    found.definition, found.purpose, found.of_traits = definition, purpose, of_traits
    found.saved_at, found.due_at, found.looked_at, found.state = now, now, None, {}
    session.flush()
    return found


def _check(session: Session, name: str, purpose: str) -> None:
    try:
        destination = registry.named(session, name)
    except DestinationNotFound:
        raise DefinitionInvalid(f"#/alert/destination: there is no {name!r}") from None
    if destination.kind != "webhook" or destination.purpose != purpose:
        raise DefinitionInvalid(f"#/alert/destination: {name!r} is no webhook for {purpose}")


def find(session: Session, key: str) -> SavedQuestion:
    """Return a saved analysis; raises SavedAnalysisNotFound."""
    found = session.get(SavedQuestion, key)
    if found is None:
        raise SavedAnalysisNotFound(key)
    return found


def list_all(session: Session) -> list[SavedQuestion]:
    """Return all saved analyses, by key."""
    return list(session.scalars(sa.select(SavedQuestion).order_by(SavedQuestion.key)))


def remove(session: Session, key: str) -> None:
    """Ask it no more, and forget what it found; raises SavedAnalysisNotFound."""
    session.delete(find(session, key))
    session.flush()


def opened(session: Session, keys: list[str]) -> dict[str, int]:
    """Return how many alerts of each are open."""
    rows = session.execute(
        sa.select(AnalysisAlert.saved, sa.func.count())
        .where(AnalysisAlert.saved.in_(keys), AnalysisAlert.ended_at.is_(None))
        .group_by(AnalysisAlert.saved)
    )
    return {key: n for key, n in rows}


def alerts(session: Session, key: str, *, most: int) -> list[AnalysisAlert]:
    """Return what a saved analysis found, the newest first; raises SavedAnalysisNotFound."""
    find(session, key)
    query = sa.select(AnalysisAlert).where(AnalysisAlert.saved == key)
    order = (AnalysisAlert.raised_at.desc(), AnalysisAlert.what)
    return list(session.scalars(query.order_by(*order).limit(most)))


def shown(saved: SavedQuestion, opened: int) -> dict[str, Any]:
    """Return a saved analysis as people read it."""
    return {
        "key": saved.key,
        "purpose": saved.purpose,
        **SavedAnalysis.model_validate(saved.definition).model_dump(mode="json"),
        "saved_at": saved.saved_at.isoformat(),
        "looked_at": saved.looked_at.isoformat() if saved.looked_at else None,
        "state": saved.state,
        "open": opened,
    }
