"""Asks saved analyses again when they are due, and notes what of their answers is to be told.

What is found has a name, so that it is told once: the bound that a figure is beyond, the interval
that is unusual. What holds no longer, because the figure is back or events came late, ends. One
that fails costs itself alone: it is noted, named where operators look, and tried ever later.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError
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

log = logging.getLogger("parcours.alerts")

#: How long what was found is kept.
KEPT = timedelta(days=365)
#: What cannot be answered is asked again after this, or when it is due if that is sooner.
AGAIN = timedelta(minutes=10)
#: What fails by a fault of ours is asked again after AGAIN, then after twice that, up to this.
LONGEST = timedelta(days=1)
BOUND = "bound"
#: Intervals that are told, as the analysis of anomalies calls them.
UNUSUAL: tuple[Status, ...] = ("high", "low", "feed_gap")

Found = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Look:
    """What an answer says: its figure, or why there is none; and what there is to be told.

    `found` is None where nothing can be said. Intervals that began before `first` were not looked
    at. `of_traits` says that the answer tells of people by the values of traits.
    """

    state: dict[str, Any]
    found: Found | None = None
    first: str = ""
    of_traits: bool | None = None
    over: dict[str, Any] = field(default_factory=dict)


def advance(
    sessions: Sessions, directory: Path, *, only: str | None = None, now: datetime | None = None
) -> int:
    """Ask each saved analysis that is due, or one of them; return how many there were.

    Each is answered before the transaction that notes what it found. One process at a time does.
    """
    now = now or datetime.now(UTC)
    with exclusively(sessions, "saved analyses") as mine:
        if not mine:
            return 0
        due = sa.select(SavedQuestion).where(
            SavedQuestion.due_at <= now, SavedQuestion.paused_at.is_(None)
        )
        if only is not None:
            due = due.where(SavedQuestion.key == only)
        with sessions() as session:
            waiting = session.scalars(due.order_by(SavedQuestion.due_at)).all()
        for saved in waiting:
            _ask(sessions, directory, saved, now)
        with sessions.begin() as session:
            session.execute(sa.delete(AnalysisAlert).where(AnalysisAlert.ended_at < now - KEPT))
        return len(waiting)


def posed(session: Session, wanted: Asked) -> tuple[BaseModel, str]:
    """Return a question about the newest version of the journey it names, and its purpose.

    Raises JourneyNotFound, DefinitionInvalid.
    """
    journey, called = catalogue.pinned(session, wanted.journey)
    try:
        question = wanted.model_copy(update={"journey": called}).question(journey)
    except ValidationError as error:
        raise DefinitionInvalid(str(error.errors()[0]["msg"])) from None
    return question, wanted.purpose or (journey.purpose if journey else DEFAULT_PURPOSE)


def _ask(sessions: Sessions, directory: Path, saved: SavedQuestion, now: datetime) -> None:
    """Answer one and note what it found, or that it failed: the others are asked either way."""
    with sessions.begin() as session:
        if not _begin(session, saved, now):
            return
    try:
        wanted = SavedAnalysis.model_validate(saved.definition)
        look = _looked(sessions, directory, saved, wanted, now)
        with sessions.begin() as session:
            _note(session, saved, wanted, look, now)
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        log.error("the saved analysis %s fails (%s); trying again later", saved.key, kind)
        log.debug("the saved analysis %s", saved.key, exc_info=error)
        with sessions.begin() as session:
            here = _here(session, saved)
            if here is not None:
                here.looked_at, here.failing_since = now, here.failing_since or now
                here.state = {"error": f"it fails by a fault of ours ({kind})"}


def _begin(session: Session, saved: SavedQuestion, now: datetime) -> bool:
    """Note that it is asked, as if it failed: what ends the worker is not asked first again."""
    here = _here(session, saved)
    if here is None or here.paused_at is not None:
        return False
    if here.failures and here.failing_since is None:
        here.failing_since = now
        here.state = {"error": "the worker ended while it was answered"}
    here.due_at = now + min(AGAIN * 2 ** min(here.failures, 20), LONGEST)
    here.failures += 1
    return True


def _here(session: Session, saved: SavedQuestion) -> SavedQuestion | None:
    """Return the row, locked, unless it was changed or removed meanwhile."""
    here = session.get(SavedQuestion, saved.key, with_for_update=True)
    return here if here is not None and here.saved_at == saved.saved_at else None


def _looked(
    sessions: Sessions,
    directory: Path,
    saved: SavedQuestion,
    wanted: SavedAnalysis,
    now: datetime,
) -> Look:
    """Answer a saved analysis; nothing is found where it cannot be answered."""
    try:
        with sessions() as session:
            question, _ = posed(session, asked(wanted, now))
        answer = analyses.ask(
            sessions, directory, wanted.analysis, question, purpose=saved.purpose, as_of=None
        )
    except (AppError, ConsentError) as error:
        return Look({"error": f"{type(error).__doc__} {error}"})
    # A newer version of the journey may ask by traits where that of then did not.
    traits = bool(analyses.traits(wanted.analysis, question))
    state = {"query_id": answer["query_id"], "as_of": answer["as_of"]}
    if wanted.alert is None:
        return Look(state, {}, of_traits=traits)
    if wanted.alert.unusual:
        units = 7 if answer["semantics"]["unit"] == "week" else 1
        since = saved.saved_at.date() - timedelta(days=units)
        points = answer["result"]["points"]
        return Look(
            {**state, "back_test": answer["result"]["back_test"]},
            _unusual(answer, since) if points else None,
            first=points[0]["start"] if points else "",
            of_traits=traits,
            over={"query_id": answer["query_id"]},
        )
    value = figure(answer["result"], wanted.alert.at or "")
    if value is None:
        return Look({**state, "error": f"there is no figure at {wanted.alert.at}"})
    return Look(
        {**state, "value": value},
        _beyond(wanted.alert, value, answer["query_id"]),
        of_traits=traits,
        over={"value": value, "query_id": answer["query_id"]},
    )


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
    session: Session, saved: SavedQuestion, wanted: SavedAnalysis, look: Look, now: datetime
) -> None:
    """Write down what came of it, unless it was changed or removed meanwhile."""
    here = _here(session, saved)
    if here is None:
        return
    pause = wanted.every if "error" not in look.state else min(wanted.every, AGAIN)
    here.looked_at, here.due_at, here.state = now, now + pause, look.state
    here.failures, here.failing_since = 0, None
    if look.of_traits is not None:
        here.of_traits = look.of_traits
    if look.found is None:
        return
    open_ = {
        one.what: one
        for one in session.scalars(
            sa.select(AnalysisAlert).where(
                AnalysisAlert.saved == saved.key, AnalysisAlert.ended_at.is_(None)
            )
        )
    }
    stay = {what for what in open_.keys() & look.found if _same(open_[what], look.found[what])}
    for what in sorted(open_.keys() - stay):
        alert = open_[what]
        because = "past" if str(alert.found.get("start", look.first)) < look.first else "back"
        alert.end(now, {"because": because, **look.over})
    session.flush()  # what turned from one side to the other ends before it is found anew
    to = wanted.alert.destination if wanted.alert else None
    about = {
        "saved_analysis": saved.key, "name": wanted.name, "analysis": wanted.analysis,
        "purpose": saved.purpose,
    }  # fmt: skip
    for what in sorted(look.found.keys() - stay):
        session.add(
            AnalysisAlert(
                id=uuid4(), saved=saved.key, what=what, found=look.found[what], raised_at=now,
                about=about, destination=to, due_at=now if to else None,
            )
        )  # fmt: skip


def _same(alert: AnalysisAlert, found: Mapping[str, Any]) -> bool:
    """Say whether a figure is beyond the same bound still; from above to below is another alert."""
    return ("above" in alert.found) == ("above" in found)
