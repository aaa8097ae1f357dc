"""From which probability two are joined now: as set, or lower where records say little."""

from sqlalchemy.orm import Session

from app.settings import Settings
from identity import known
from identity.learnt import in_force


def threshold(session: Session, configuration: Settings) -> float:
    """Return the merge threshold in force, which hangs on what was learnt last."""
    found = known.model(session)
    usual, lowest = configuration.auto_merge_threshold, configuration.lowest_merge_threshold
    return in_force(
        found.learnt if found else None, usual, max(lowest, configuration.review_threshold)
    )
