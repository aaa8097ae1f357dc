"""Saved analyses: asked again on a schedule, with alerts on what they find."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Configuration, Db
from api.errors import InsufficientScope
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import AUTH, ERRORS, Reader, answer, may_read_traits, posed
from app import work
from app.errors import (
    DefinitionInvalid,
    JourneyNotFound,
    PurposeNotAllowed,
    SavedAnalysisNotFound,
)
from app.journeys import saved as saved_analyses
from app.journeys.saved_request import KEY, SavedAnalysis, asked
from app.journeys.tables import SavedQuestion
from consent.errors import PurposeNotFound

router = Resource(prefix="/v1/saved-analyses", tags=["journeys"])

Writer = Annotated[Caller, requires("journeys:read", "journeys:write")]
Key = Annotated[str, Path(pattern=KEY, examples=["orders-of-a-month"])]
WANTED: dict[str, Any] = {
    "name": "Orders within a week",
    "analysis": "funnel",
    "request": {
        "steps": [{"event": "Product Viewed"}, {"event": "Order Completed"}],
        "window": "P7D",
    },
    "last": "P30D",
    "every": "PT1H",
    "alert": {"at": "/rates/closed", "below": 0.2},
}
FOUND: dict[str, Any] = {
    "id": "5ad0d9c2-1f0e-4a57-9a1c-0f6f5f2c8a11",
    "what": "bound",
    "found": {
        "at": "/rates/closed",
        "value": 0.17,
        "below": 0.2,
        "query_id": "q_5f0c61b0b2a44f0ab5f5b7a1",
    },
    "raised_at": "2026-11-28T10:00:00+00:00",
    "told_at": "2026-11-28T10:00:04+00:00",
    "ended_at": None,
    "ended": None,
    "end_told_at": None,
    "why_untold": None,
}
SAVED: dict[str, Any] = {
    "key": "orders-of-a-month",
    "purpose": "analytics.audience",
    **WANTED,
    "alert": {**WANTED["alert"], "above": None, "unusual": False, "destination": "alarms"},
    "saved_at": "2026-11-27T09:00:00+00:00",
    "looked_at": "2026-11-28T10:00:00+00:00",
    "due_at": "2026-11-28T11:00:00+00:00",
    "paused_at": None,
    "failing_since": None,
    "state": {"query_id": "q_5f0c61b0b2a44f0ab5f5b7a1", "value": 0.17},
    "open": 1,
    "latest": FOUND,
}


class SavedIn(SavedAnalysis):
    """A question with a name: how it is asked, how often, and what of its answers is told."""

    model_config = ConfigDict(json_schema_extra={"example": WANTED})


class SavedPatch(BaseModel):
    """Whether it is asked for the time being."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"paused": True}})

    paused: bool


@router.get("", summary="List saved analyses", responses=documented(*AUTH, ok={"data": [SAVED]}))
def list_saved(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the saved analyses of the purposes that the client is registered for.

    `state` is what was found when they were last asked: the figure, or for anomalies what the
    rules raised before and how often chance alone would; `error` says why there is nothing, and
    `failing_since` that it is no fault of the question. `open` counts alerts that stand, `latest`
    is the last one raised. Those that tell of people by values of traits need `profiles:read`.
    """
    seen = [one for one in saved_analyses.list_all(session) if _may_read(caller, one)]
    heard = saved_analyses.heard(session, [one.key for one in seen])
    return {"data": [saved_analyses.shown(one, heard[one.key]) for one in seen]}


@router.get(
    "/{key}",
    summary="Read a saved analysis",
    responses=documented(*AUTH, PurposeNotAllowed, SavedAnalysisNotFound, ok=SAVED),
)
def read_saved(session: Db, caller: Reader, key: Key) -> dict[str, Any]:
    """Return a saved analysis with what was found when it was last asked."""
    return _shown(session, _mine(session, caller, key))


@router.put(
    "/{key}",
    summary="Save an analysis",
    responses=documented(
        *AUTH, PurposeNotAllowed, PurposeNotFound, JourneyNotFound, DefinitionInvalid, ok=SAVED
    ),
)
def put_saved(
    session: Db, request: Request, caller: Writer, key: Key, wanted: SavedIn
) -> dict[str, Any]:
    """Save an analysis or change it: the worker asks it at once, and then `every` so often.

    `request` is what the analysis of this name takes; `last` has it asked of that long until each
    asking. An `alert` is told once, to the webhook that it names and in the list of alerts; of
    anomalies, of what happened since they were saved. Another question forgets what was found, and
    whoever was told of it is told that it is over.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    now = datetime.now(UTC)
    if session.get(SavedQuestion, key) is not None:
        _mine(session, caller, key)
    question, purpose = posed(request, caller, asked(wanted, now))
    traits = analyses.traits(wanted.analysis, question)
    may_read_traits(caller, traits)
    kept = saved_analyses.put(
        session, key, wanted, purpose=purpose, of_traits=bool(traits), now=now
    )
    work.wake(session)
    return _shown(session, kept)


@router.delete(
    "/{key}",
    status_code=204,
    summary="Delete a saved analysis",
    responses=documented(*AUTH, PurposeNotAllowed, SavedAnalysisNotFound),
)
def delete_saved(session: Db, caller: Writer, key: Key) -> None:
    """Ask it no more, and forget what it found; whoever was told of it is told that it is over."""
    saved_analyses.remove(session, _mine(session, caller, key).key, now=datetime.now(UTC))


@router.patch(
    "/{key}",
    summary="Pause or resume a saved analysis",
    responses=documented(*AUTH, PurposeNotAllowed, SavedAnalysisNotFound, ok=SAVED),
)
def pause_saved(session: Db, caller: Writer, key: Key, wanted: SavedPatch) -> dict[str, Any]:
    """Ask it no more for the time being, or again, and then at once; what it found stays."""
    key = _mine(session, caller, key).key
    kept = saved_analyses.pause(session, key, paused=wanted.paused, now=datetime.now(UTC))
    work.wake(session)
    return _shown(session, kept)


@router.post(
    "/{key}/answers",
    summary="Answer a saved analysis now",
    responses=documented(*ERRORS, SavedAnalysisNotFound),
)
def answer_saved(
    request: Request, settings: Configuration, caller: Reader, key: Key
) -> dict[str, Any]:
    """Answer its question as of now, as the analysis itself would; alerts are the worker's."""
    with request.app.state.sessions() as session:
        kept = _mine(session, caller, key)
    wanted = SavedAnalysis.model_validate(kept.definition)
    question = asked(wanted, datetime.now(UTC)).model_copy(update={"purpose": kept.purpose})
    return answer(request, settings, caller, wanted.analysis, question)


@router.get(
    "/{key}/alerts",
    summary="List what a saved analysis found",
    responses=documented(*AUTH, PurposeNotAllowed, SavedAnalysisNotFound, ok={"data": [FOUND]}),
)
def list_alerts(
    session: Db,
    caller: Reader,
    key: Key,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Return its alerts, the newest first; what ended a year ago is forgotten.

    `ended` says why one is over: the figure is `back`, or the interval is `past` what is asked
    about. `why_untold` says what became of the last attempt to tell the webhook.
    """
    kept = _mine(session, caller, key)
    found = saved_analyses.alerts(session, kept.key, most=limit)
    return {"data": [saved_analyses.alert_shown(one) for one in found]}


def _may_read(caller: Caller, kept: SavedQuestion) -> bool:
    readable = not kept.of_traits or "profiles:read" in caller.scopes
    return kept.purpose in caller.purposes and readable


def _mine(session: Session, caller: Caller, key: str) -> SavedQuestion:
    """Return a saved analysis whose answers the client may read."""
    kept = saved_analyses.find(session, key)
    state_purpose(caller, kept.purpose)
    if not _may_read(caller, kept):
        raise InsufficientScope("The access token lacks the scope profiles:read.")
    return kept


def _shown(session: Db, kept: SavedQuestion) -> dict[str, Any]:
    return saved_analyses.shown(kept, saved_analyses.heard(session, [kept.key])[kept.key])
