"""Pairs that a person decides, and requests for matching runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, labels, people
from identity.errors import ReviewDecided, ReviewNotFound, RunNotFound
from identity.lock import lock
from identity.tables import Review, Run

#: What a run compares: everybody, or who is new or changed with whom they could be.
ALL, NEW = "all", "new"
#: What compares: the worker itself, or a cluster.
DUCKDB, SPARK = "duckdb", "spark"
#: A run whose worker died so often is not taken up once more.
MOST_DEATHS = 3
#: The parameters that say where a run is done.
_WHERE = ("engine", "master", "exchange")


def request_run(session: Session, parameters: Mapping[str, Any], *, scope: str = ALL) -> Run:
    """Ask for a matching run, which a worker does: Splink has no place where requests are answered.

    A run that already waits is returned instead of a second one, and does as much as either.
    """
    waiting = session.scalar(
        sa.select(Run).where(Run.state == "waiting").limit(1).with_for_update()
    )
    if waiting is not None:
        if scope == ALL:
            where = {name: parameters[name] for name in _WHERE if name in parameters}
            waiting.parameters = {**waiting.parameters, "scope": ALL, **where}
        return waiting
    wanted = Run(state="waiting", parameters={**parameters, "scope": scope})
    session.add(wanted)
    session.flush()
    return wanted


def start_run(session: Session) -> tuple[int, dict[str, Any]] | None:
    """Take the oldest waiting run, or one that a crash left running, and mark it as running.

    Return its id and its parameters.

    Runs are done by one worker at a time (the caller holds the lock of the job), so a run that is
    marked as running when another could start is one whose worker died. One that died as often as
    `MOST_DEATHS` has failed: it may be the run that kills the worker, by what it needs in memory.
    """
    waiting = (
        sa.select(Run)
        .where(Run.state.in_(["waiting", "running"]))
        .order_by(Run.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while (run := session.scalar(waiting)) is not None:
        died = int(run.parameters.get("died", 0)) + (run.state == "running")
        if died:
            run.parameters = {**run.parameters, "died": died}
        if died < MOST_DEATHS:
            run.state, run.started_at = "running", datetime.now(UTC)
            return run.id, dict(run.parameters)
        finish_run(session, run.id, "failed", {"error": "WorkerDied"}, {})
        session.flush()
    return None


def finish_run(
    session: Session, run_id: int, state: str, result: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """Note how a run ended and with which parameters it ran."""
    run = find_run(session, run_id)
    run.state, run.finished_at, run.result = state, datetime.now(UTC), result
    run.parameters = {**run.parameters, **parameters}


def last_run(session: Session) -> Run | None:
    """Return the run that was asked for last."""
    return session.scalar(sa.select(Run).order_by(Run.id.desc()).limit(1))


def last_whole(session: Session) -> Run | None:
    """Return the run over everybody that was done last."""
    whole = Run.parameters["scope"].astext == ALL
    done = sa.select(Run).where(Run.state == "done", whole).order_by(Run.id.desc()).limit(1)
    return session.scalar(done)


@dataclass(frozen=True, slots=True)
class Failures:
    """How many runs of a kind have failed since the last of it was done; of the last, when and why.

    `error` is the kind of error, which names nobody.
    """

    times: int
    at: datetime | None
    error: str


def failures(session: Session, scope: str) -> Failures:
    """Return how runs over all, or over who is new, have failed since the last that was done."""
    of = Run.parameters["scope"].astext == scope
    done = sa.select(sa.func.max(Run.id)).where(Run.state == "done", of).scalar_subquery()
    since = sa.select(Run).where(Run.state == "failed", of, Run.id > sa.func.coalesce(done, 0))
    failed = session.scalars(since.order_by(Run.id.desc())).all()
    last = failed[0] if failed else None
    error = str(((last and last.result) or {}).get("error", "unknown"))
    return Failures(len(failed), last.finished_at if last else None, error)


def find_run(session: Session, run_id: int) -> Run:
    """Return a run; raises RunNotFound."""
    run = session.get(Run, run_id)
    if run is None:
        raise RunNotFound(str(run_id))
    return run


def runs(session: Session, *, limit: int = 100) -> list[Run]:
    """Return the latest runs, newest first."""
    return list(session.scalars(sa.select(Run).order_by(Run.id.desc()).limit(limit)))


def decide(session: Session, review_id: int, *, match: bool, by: str, at: datetime) -> graph.Moved:
    """Decide a pair: a match becomes a manual link, no match a constraint; either is a label.

    Raises ReviewNotFound and ReviewDecided.
    """
    lock(session)
    review = session.get(Review, review_id, with_for_update=True)
    if review is None:
        raise ReviewNotFound(str(review_id))
    if review.decision is not None:
        raise ReviewDecided(str(review_id))
    review.decision = "match" if match else "no_match"
    review.decided_at, review.decided_by = at, by
    labels.keep(session, review, match=match, origin="review", by=by)
    if match:
        return people.must_link(session, review.left_id, review.right_id, by=by, at=at)
    people.keep_apart(session, review.left_id, review.right_id, by=by, reason=f"review {review_id}")
    return graph.reconsider(session, {review.left_id, review.right_id}, at=at)
