"""Runs probabilistic matching when it is asked for, or when new attributes have arrived."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

import consent
from app import pipeline
from app.db import Sessions
from identity import matching, reviews

log = logging.getLogger("parcours.matching")


def request_if_needed(sessions: Sessions, *, interval: float) -> None:
    """Ask for a run when records changed since the last one and `interval` seconds have passed."""
    with sessions.begin() as session:
        last = reviews.last_run(session)
        changed = reviews.records_changed_at(session)
        if changed is None:
            return
        if last is None or (
            changed > last.requested_at
            and datetime.now(UTC) - last.requested_at > timedelta(seconds=interval)
        ):
            reviews.request_run(session, {"asked_by": "schedule"})


def run_waiting(
    sessions: Sessions,
    *,
    auto: float,
    review: float,
    progress: Callable[[str], None] | None = None,
) -> int | None:
    """Do the run that waits, if one does; return its id.

    The scoring happens outside any transaction, since an open one would hold back every reader of
    the event stream for as long as Splink works. What changed meanwhile is respected: consent
    and constraints are asked again when the links are followed. A run that was cut short by a
    crash is taken up again.
    """
    with sessions.begin() as session:
        run_id = reviews.start_run(session)
    if run_id is None:
        return None
    parameters = {"auto_merge_threshold": auto, "review_threshold": review}
    try:
        with sessions.begin() as session:
            table = matching.candidates(session)
            _count_excluded(session)
        pairs = matching.score(table, review=review, progress=progress)
        with sessions.begin() as session:
            outcome = matching.apply(session, pairs, auto=auto, at=datetime.now(UTC), run_id=run_id)
            pipeline.after_move(session, outcome.moved)
            result = {
                "records": table.num_rows,
                "pairs": outcome.pairs,
                "linked": outcome.linked,
                "reviews": outcome.reviews,
                "merged": len(outcome.moved.merged),
            }
            reviews.finish_run(session, run_id, "done", result, parameters)
    except Exception as error:
        log.exception("matching run %d failed", run_id)
        with sessions.begin() as session:
            reviews.finish_run(
                session, run_id, "failed", {"error": type(error).__name__}, parameters
            )
    return run_id


def _count_excluded(session: Session) -> None:
    """Count the records that consent keeps out of matching."""
    consent.count_denials(
        session,
        use="match",
        denials=[(consent.LINK, why, n) for why, n in matching.excluded(session).items()],
        at=datetime.now(UTC),
    )
