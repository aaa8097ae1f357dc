"""From which probability two are joined now: as set, or lower where records say little."""

from sqlalchemy.orm import Session

from app.settings import Settings
from identity import known
from identity.learnt import in_force


def threshold(session: Session, configuration: Settings, model_run: int | None = None) -> float:
    """Return the merge threshold in force, which hangs on what was learnt last.

    Or the one that goes with what another run has learnt.
    """
    found = known.model(session, model_run)
    usual, lowest = configuration.auto_merge_threshold, configuration.lowest_merge_threshold
    return in_force(
        found.learnt if found else None, usual, max(lowest, configuration.review_threshold)
    )
