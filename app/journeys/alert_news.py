"""Tells webhooks what saved analyses found, and when it is over: figures, and nobody's data."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import sqlalchemy as sa

from app.db import Sessions, exclusively
from app.destinations import kinds, opened, registry
from app.destinations.deliver import RETRY_SECONDS
from app.destinations.kind import Kind, Outcome, Record, Setup
from app.destinations.wire import Wire
from app.errors import AppError
from app.journeys.tables import AnalysisAlert

log = logging.getLogger("parcours.alerts")

#: Of what a message is (CloudEvents' way of naming, as in the change feed).
RAISED, ENDED = "analysis.alerted", "analysis.alert_ended"
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
    """Send one message; nothing is held in the database while it is under way.

    Whatever fails is tried again and costs the other messages nothing.
    """
    try:
        kind, setup, record = _message(sessions, alert_id)
        return kind.send(setup, [record], Wire(client))[0]
    except AppError as error:
        log.warning("an alert cannot be told (%s)", type(error).__name__)
        return Outcome("again", f"{type(error).__doc__} {error}")
    except _Untellable as error:
        return Outcome("again", str(error))
    except Exception as error:
        kind_ = f"{type(error).__module__}.{type(error).__name__}"
        log.error("an alert cannot be told (%s)", kind_)
        log.debug("an alert", exc_info=error)
        return Outcome("again", f"a fault of ours ({kind_})")


class _Untellable(Exception):
    """Nobody is to be told any more; the message says why."""


def _message(sessions: Sessions, alert_id: UUID) -> tuple[Kind, Setup, Record]:
    """Return what is told to whom: that it was found, or to whom that was told, that it is over.

    Raises DestinationNotFound, DestinationKeyUnusable, _Untellable.
    """
    with sessions() as session:
        alert = session.get(AnalysisAlert, alert_id)
        if alert is None:
            raise _Untellable("its analysis was changed or removed")
        destination = registry.named(session, alert.destination or "")
        if not destination.enabled or destination.purpose != alert.about["purpose"]:
            raise _Untellable(f"{alert.destination} is switched off, or serves another purpose")
        kind = kinds.of(destination.kind)
        data = {"alert": str(alert.id), **alert.about, **alert.found}
        over = alert.told_at is not None and alert.ended_at is not None
        if over:
            data["raised_at"] = alert.raised_at.isoformat()
            data["ended"] = alert.ended or {}
        record = Record(
            message_id=f"{alert.id}-ended" if over else str(alert.id),
            type=ENDED if over else RAISED,
            occurred_at=(alert.ended_at if over else None) or alert.raised_at,
            profile_id="",
            intent="tell",
            data=data,
        )
        return kind, opened.setup_of(destination, kind), record


def _note(sessions: Sessions, alert_id: UUID, outcome: Outcome, now: datetime) -> None:
    with sessions.begin() as session:
        alert = session.get(AnalysisAlert, alert_id, with_for_update=True)
        if alert is None:  # its analysis was changed or removed meanwhile
            return
        if outcome.state == "taken":
            alert.tries, alert.why_untold = 0, None
            if alert.told_at is None:
                alert.told_at = now
                alert.due_at = now if alert.ended_at else None  # it ended while this was tried
            else:
                alert.end_told_at, alert.due_at = now, None
        else:
            alert.why_untold = outcome.reason
            over = outcome.state in ("gone", "refused") or alert.tries >= len(RETRY_SECONDS)
            pause = 0.0 if over else float(RETRY_SECONDS[alert.tries])
            pause = max(pause, outcome.retry_after_seconds or 0.0)
            alert.tries += 1
            alert.due_at = None if over else now + timedelta(seconds=pause)
        if alert.saved is None and alert.due_at is None:
            session.delete(alert)
