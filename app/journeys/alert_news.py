"""Tells webhooks what saved analyses found: figures, and nobody's data."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import sqlalchemy as sa

from app.db import Sessions, exclusively
from app.destinations import deciding, kinds, registry
from app.destinations.deliver import RETRY_SECONDS
from app.destinations.kind import Kind, Outcome, Record, Setup
from app.destinations.wire import Wire
from app.errors import AppError
from app.journeys.saved_request import SavedAnalysis
from app.journeys.tables import AnalysisAlert, SavedQuestion

log = logging.getLogger("parcours.alerts")

#: Of what the message is (CloudEvents' way of naming, as in the change feed).
TYPE = "analysis.alerted"
#: Messages in one round.
MOST = 100


def tell(sessions: Sessions, client: httpx.Client, *, now: datetime | None = None) -> int:
    """Send what waits to the webhooks that saved analyses name; return how many were taken.

    A crash between a send and its note repeats the message, by the same id. What fails is tried
    for 75 hours, as messages about people are; then the alert says why it was not told.
    """
    now = now or datetime.now(UTC)
    told = 0
    with exclusively(sessions, "alerts") as mine:
        if not mine:
            return 0
        waiting = sa.select(AnalysisAlert.id).where(AnalysisAlert.due_at <= now)
        with sessions() as session:
            ids = session.scalars(waiting.order_by(AnalysisAlert.due_at).limit(MOST)).all()
        for one in ids:
            outcome = _sent(sessions, client, one)
            told += outcome.state == "taken"
            _note(sessions, one, outcome, now)
    return told


def _sent(sessions: Sessions, client: httpx.Client, alert_id: UUID) -> Outcome:
    """Send one message; nothing is held in the database while it is under way."""
    try:
        kind, setup, record = _message(sessions, alert_id)
    except AppError as error:
        log.warning("an alert cannot be told (%s)", type(error).__name__)
        return Outcome("again", f"{type(error).__doc__} {error}")
    except ValueError as error:
        return Outcome("again", str(error))
    return kind.send(setup, [record], Wire(client))[0]


def _message(sessions: Sessions, alert_id: UUID) -> tuple[Kind, Setup, Record]:
    """Return what is told to whom; raises DestinationNotFound, DestinationKeyUnusable.

    Raises ValueError where nobody is to be told any more.
    """
    with sessions() as session:
        alert = session.get(AnalysisAlert, alert_id)
        saved = session.get(SavedQuestion, alert.saved) if alert else None
        if alert is None or saved is None:
            raise ValueError("its analysis was changed or removed")
        wanted = SavedAnalysis.model_validate(saved.definition)
        to = wanted.alert.destination if wanted.alert else None
        destination = registry.named(session, to or "")
        if not destination.enabled or destination.purpose != saved.purpose:
            raise ValueError(f"{to} is switched off, or serves another purpose")
        kind = kinds.of(destination.kind)
        data = {
            "saved_analysis": saved.key,
            "name": wanted.name,
            "analysis": wanted.analysis,
            "purpose": saved.purpose,
            **alert.found,
        }
        record = Record(
            message_id=str(alert.id), type=TYPE, occurred_at=alert.raised_at, profile_id="",
            intent="tell", data=data,
        )  # fmt: skip
        return kind, deciding.setup_of(destination, kind), record


def _note(sessions: Sessions, alert_id: UUID, outcome: Outcome, now: datetime) -> None:
    with sessions.begin() as session:
        alert = session.get(AnalysisAlert, alert_id, with_for_update=True)
        if alert is None:  # its analysis was changed or removed meanwhile
            return
        if outcome.state == "taken":
            alert.told_at, alert.due_at, alert.why_untold = now, None, None
            return
        alert.why_untold = outcome.reason
        over = outcome.state in ("gone", "refused") or alert.tries >= len(RETRY_SECONDS)
        pause = 0.0 if over else float(RETRY_SECONDS[alert.tries])
        pause = max(pause, outcome.retry_after_seconds or 0.0)
        alert.tries += 1
        alert.due_at = None if over else now + timedelta(seconds=pause)
