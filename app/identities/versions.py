"""Versions of what matching has learnt, and the whole runs that a change of them asks for."""

from typing import Any

from sqlalchemy.orm import Session

from app import work
from identity import models, reviews
from identity.explain import describe_run


def compared(session: Session, run_id: int, beside: int | None) -> dict[str, Any]:
    """Return a version and how its weights differ from another's, or from those in force.

    Raises ModelNotFound.
    """
    one = models.find(session, run_id)
    other = models.find(session, beside) if beside is not None else models.in_force(session)
    there = other.learnt if other else None
    return {
        **models.describe(one),
        "beside": models.describe(other) if other else None,
        "weights": models.compare(one.learnt, there) if one.learnt and there else [],
    }


def roll_back(session: Session, run_id: int | None, *, by: str) -> dict[str, Any]:
    """Hold on to an earlier version and have a whole run score by it; raises ModelNotFound."""
    version = models.pin(session, run_id, by=by)
    return {**models.describe(version), "run": _whole_run(session, by)}


def resume(session: Session, *, by: str) -> dict[str, Any]:
    """Hold on to none any more and have a whole run learn."""
    models.unpin(session)
    return {"run": _whole_run(session, by)}


def _whole_run(session: Session, by: str) -> dict[str, Any]:
    run = reviews.request_run(session, {"asked_by": by}, scope=reviews.ALL)
    work.wake(session)
    return describe_run(run)
