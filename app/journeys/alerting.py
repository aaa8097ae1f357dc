"""Asks saved analyses again when they are due, and notes what of their answers is to be told.

What is found has a name, so that it is told once: the bound that a figure is beyond, the interval
that is unusual. What holds no longer, because the figure is back or events came late, ends.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.db import Sessions, exclusively
from app.errors import AppError, DefinitionInvalid
from app.journeys import analyses, catalogue
from app.journeys.asked import DEFAULT_PURPOSE, Asked
from app.journeys.figures import figure
from app.journeys.saved_request import Alert, SavedAnalysis, asked
from app.journeys.series import Status
from app.journeys.tables import AnalysisAlert, SavedQuestion
from consent.errors import ConsentError

#: How long what was found is kept.
KEPT = timedelta(days=365)
#: What cannot be answered is asked again after this, or when it is due if that is later.
AGAIN = timedelta(minutes=10)
BOUND = "bound"
#: Intervals that are told, as the analysis of anomalies calls them.
UNUSUAL: tuple[Status, ...] = ("high", "low", "feed_gap")

Found = dict[str, dict[str, Any]]


def advance(sessions: Sessions, directory: Path, *, now: datetime | None = None) -> int:
    """Ask each saved analysis that is due; return how many there were.

    Each is answered before the transaction that notes what it found. One process at a time does.
    """
    now = now or datetime.now(UTC)
    with exclusively(sessions, "saved analyses") as mine:
        if not mine:
            return 0
        due = sa.select(SavedQuestion).where(SavedQuestion.due_at <= now)
        with sessions() as session:
            waiting = session.scalars(due.order_by(SavedQuestion.due_at)).all()
        for saved in waiting:
            wanted = SavedAnalysis.model_validate(saved.definition)
            state, found = _looked(sessions, directory, saved, wanted, now)
            with sessions.begin() as session:
                _note(session, saved, wanted, state, found, now)
        with sessions.begin() as session:
            session.execute(sa.delete(AnalysisAlert).where(AnalysisAlert.ended_at < now - KEPT))
        return len(waiting)


def _looked(
    sessions: Sessions,
    directory: Path,
    saved: SavedQuestion,
    wanted: SavedAnalysis,
    now: datetime,
) -> tuple[dict[str, Any], Found | None]:
    """Answer a saved analysis; nothing is found where it cannot be answered."""
    try:
        answer = answered(sessions, directory, asked(wanted, now), wanted.analysis, saved.purpose)
    except (AppError, ConsentError) as error:
        return {"error": f"{type(error).__doc__} {error}"}, None
    state = {"query_id": answer["query_id"], "as_of": answer["as_of"]}
    if wanted.alert is None:
        return state, {}
    if wanted.alert.unusual:
        units = 7 if answer["semantics"]["unit"] == "week" else 1
        since = saved.saved_at.date() - timedelta(days=units)
        return {**state, "back_test": answer["result"]["back_test"]}, _unusual(answer, since)
    value = figure(answer["result"], wanted.alert.at or "")
    if value is None:
        return {**state, "error": f"there is no figure at {wanted.alert.at}"}, None
    return {**state, "value": value}, _beyond(wanted.alert, value, answer["query_id"])


def answered(
    sessions: Sessions, directory: Path, wanted: Asked, kind: str, purpose: str | None
) -> dict[str, Any]:
    """Answer a question of now, by the newest version of the journey that it names.

    Raises JourneyNotFound, DefinitionInvalid, PurposeNotFound, AnalysesBusy, AnalysisTooLarge.
    """
    with sessions() as session:
        journey, called = catalogue.pinned(session, wanted.journey)
    try:
        question = wanted.model_copy(update={"journey": called}).question(journey)
    except ValidationError as error:
        raise DefinitionInvalid(str(error.errors()[0]["msg"])) from None
    own = journey.purpose if journey else DEFAULT_PURPOSE
    return analyses.ask(sessions, directory, kind, question, purpose=purpose or own, as_of=None)


def _beyond(alert: Alert, value: float, query_id: str) -> Found:
    above = alert.above is not None and value > alert.above
    below = alert.below is not None and value < alert.below
    if not (above or below):
        return {}
    bound = {"above": alert.above} if above else {"below": alert.below}
    return {BOUND: {"at": alert.at, "value": value, **bound, "query_id": query_id}}


def _unusual(answer: Mapping[str, Any], since: date) -> Found:
    """Intervals that are not as expected and changes of level, those before a day left out."""
    found: Found = {}
    for point in answer["result"]["points"]:
        if point["status"] in UNUSUAL and date.fromisoformat(point["start"]) >= since:
            figures = ("start", "value", "expected", "low", "high", "explained_by", "bucket")
            found[f"{point['status']}:{point['start']}"] = {
                "kind": point["status"],
                **{name: point[name] for name in figures},
                "query_id": answer["query_id"],
            }
    for shift in answer["result"]["shifts"]:
        if date.fromisoformat(shift["noticed"]) >= since:
            found[f"shift:{shift['start']}"] = {
                "kind": "shift", **shift, "query_id": answer["query_id"],
            }  # fmt: skip
    return found


def _note(
    session: Session,
    saved: SavedQuestion,
    wanted: SavedAnalysis,
    state: dict[str, Any],
    found: Found | None,
    now: datetime,
) -> None:
    """Write down what came of it, unless it was changed or removed meanwhile."""
    here = session.get(SavedQuestion, saved.key, with_for_update=True)
    if here is None or here.saved_at != saved.saved_at:
        return
    pause = wanted.every if "error" not in state else min(wanted.every, AGAIN)
    here.looked_at, here.due_at, here.state = now, now + pause, state
    if found is None:
        return
    open_ = {
        one.what: one
        for one in session.scalars(
            sa.select(AnalysisAlert).where(
                AnalysisAlert.saved == saved.key, AnalysisAlert.ended_at.is_(None)
            )
        )
    }
    for what in open_.keys() - found.keys():
        open_[what].ended_at = now
    to = wanted.alert.destination if wanted.alert else None
    for what in sorted(found.keys() - open_.keys()):
        session.add(
            AnalysisAlert(
                id=uuid4(), saved=saved.key, what=what, found=found[what], raised_at=now,
                due_at=now if to else None,
            )
        )  # fmt: skip
