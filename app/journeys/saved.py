"""The analyses that are saved: defined, found, and what was found of them so far."""

import re
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import Session

import consent
from app.destinations import registry
from app.errors import DefinitionInvalid, DestinationNotFound, SavedAnalysisNotFound
from app.journeys.saved_request import KEY, SavedAnalysis
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

    What was found by another question or another bound is forgotten with it; whoever was told of
    what is open is told that it is over. One that is paused stays so. `of_traits` says that its
    answers tell of people by the values of traits. Raises PurposeNotFound, and DefinitionInvalid
    where the destination is none that can be told.
    """
    if not re.match(KEY, key):
        raise DefinitionInvalid(f"{key!r} is no key: small letters, digits, - and _, at most 63")
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
        _forget(session, key, "changed", now)
    found.definition, found.purpose, found.of_traits = definition, purpose, of_traits
    found.saved_at, found.due_at, found.looked_at, found.state = now, now, None, {}
    found.failures, found.failing_since = 0, None
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


def remove(session: Session, key: str, *, now: datetime) -> None:
    """Ask it no more, and forget what it found; raises SavedAnalysisNotFound.

    Whoever was told of what is open is told that it is over.
    """
    found = _held(session, key)
    _forget(session, key, "removed", now)
    session.delete(found)
    session.flush()


def pause(session: Session, key: str, *, paused: bool, now: datetime) -> SavedQuestion:
    """Ask it no more until it is resumed, and then at once; raises SavedAnalysisNotFound.

    What it found stays as it is meanwhile.
    """
    found = _held(session, key)
    if paused != (found.paused_at is not None):
        found.paused_at = now if paused else None
        found.due_at = found.due_at if paused else now
    return found


def ask_now(session: Session, key: str, *, now: datetime) -> None:
    """Have it asked before its time; raises SavedAnalysisNotFound."""
    _held(session, key).due_at = now


def failing(session: Session) -> dict[str, tuple[str, datetime]]:
    """Return the keys of those that fail by a fault of ours, how, and since when."""
    failed = sa.select(SavedQuestion).where(
        SavedQuestion.failing_since.is_not(None), SavedQuestion.paused_at.is_(None)
    )
    return {
        one.key: (str(one.state.get("error")), one.failing_since)
        for one in session.scalars(failed.order_by(SavedQuestion.key))
        if one.failing_since is not None
    }


def _held(session: Session, key: str) -> SavedQuestion:
    found = session.get(SavedQuestion, key, with_for_update=True)
    if found is None:
        raise SavedAnalysisNotFound(key)
    return found


def _forget(session: Session, key: str, because: str, now: datetime) -> None:
    """Forget what was found, but for what somebody is still to be told the end of."""
    mine, alert = AnalysisAlert.saved == key, AnalysisAlert
    unheard = sa.and_(
        alert.told_at.is_not(None),
        alert.destination.is_not(None),
        sa.or_(alert.ended_at.is_(None), alert.due_at.is_not(None)),
    )
    why = sa.literal({"because": because}, JSONB)
    ended = sa.case((alert.ended_at.is_(None), why), else_=alert.ended)
    session.execute(
        sa.update(alert)
        .where(mine, unheard)
        .values(
            saved=None,
            ended=ended,
            ended_at=sa.func.coalesce(alert.ended_at, now),
            due_at=sa.func.coalesce(alert.due_at, now),
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(sa.delete(alert).where(mine).execution_options(synchronize_session=False))


def heard(session: Session, keys: list[str]) -> dict[str, dict[str, Any]]:
    """Return of each what is known of its alerts: how many are `open`, and the `latest` one."""
    alert = AnalysisAlert
    counts = dict(
        session.execute(
            sa.select(alert.saved, sa.func.count())
            .where(alert.saved.in_(keys), alert.ended_at.is_(None))
            .group_by(alert.saved)
        ).all()
    )
    newest = (
        sa.select(alert)
        .where(alert.saved.in_(keys))
        .ext(distinct_on(alert.saved))
        .order_by(alert.saved, alert.raised_at.desc(), alert.what)
    )
    latest = {one.saved: alert_shown(one) for one in session.scalars(newest)}
    return {key: {"open": counts.get(key, 0), "latest": latest.get(key)} for key in keys}


def alerts(session: Session, key: str, *, most: int) -> list[AnalysisAlert]:
    """Return what a saved analysis found, the newest first; raises SavedAnalysisNotFound."""
    find(session, key)
    query = sa.select(AnalysisAlert).where(AnalysisAlert.saved == key)
    order = (AnalysisAlert.raised_at.desc(), AnalysisAlert.what)
    return list(session.scalars(query.order_by(*order).limit(most)))


def shown(saved: SavedQuestion, heard: dict[str, Any]) -> dict[str, Any]:
    """Return a saved analysis as people read it, with what is `heard` of its alerts."""
    return {
        "key": saved.key,
        "purpose": saved.purpose,
        **SavedAnalysis.model_validate(saved.definition).model_dump(mode="json"),
        "saved_at": saved.saved_at.isoformat(),
        "looked_at": _moment(saved.looked_at),
        "due_at": None if saved.paused_at else saved.due_at.isoformat(),
        "paused_at": _moment(saved.paused_at),
        "failing_since": _moment(saved.failing_since),
        "state": saved.state,
        **heard,
    }


def alert_shown(alert: AnalysisAlert) -> dict[str, Any]:
    """Return an alert as people read it."""
    return {
        "id": str(alert.id),
        "what": alert.what,
        "found": alert.found,
        "raised_at": alert.raised_at.isoformat(),
        "told_at": _moment(alert.told_at),
        "ended_at": _moment(alert.ended_at),
        "ended": alert.ended,
        "end_told_at": _moment(alert.end_told_at),
        "why_untold": alert.why_untold,
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
