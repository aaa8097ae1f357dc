"""Runs probabilistic matching when it is asked for, or when new attributes have arrived.

A whole run compares everybody and learns from all of them; it is due once a day. In between, what
is new is compared with those it could be, by what the last whole run has learnt: the cost is
proportional to what is new.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

import consent
from app import pipeline
from app.db import Sessions
from identity import candidates, matching, reviews
from identity.reviews import ALL, NEW

log = logging.getLogger("parcours.matching")

#: New records that are compared in one transaction. Splink's own price of a call is that of some
#: thousand records (research/identity.md 5).
AT_ONCE = 2_000
#: A whole run is no dearer once so many records are new, and once a fifth of all are.
MANY = 1_000
SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """From which probability a pair is joined, and from which a person is asked."""

    auto: float
    review: float


@dataclass(slots=True)
class Result:
    """What a run did."""

    records: int = 0
    pairs: int = 0
    linked: int = 0
    reviews: int = 0
    merged: int = 0

    def add(self, outcome: matching.Outcome) -> None:
        """Count what came of some pairs."""
        self.pairs += outcome.pairs
        self.linked += outcome.linked
        self.reviews += outcome.reviews
        self.merged += len(outcome.moved.merged)


def request_if_needed(sessions: Sessions, *, interval: float, whole_every: float) -> None:
    """Ask for a run when records are new and `interval` seconds have passed since the last one.

    It is a whole one when none has learnt yet (or too little: `LEAST_LEARNT`), when the last that
    did is older than `whole_every` seconds, or when much is new.
    """
    with sessions.begin() as session:
        now, last = datetime.now(UTC), reviews.last_run(session)
        if last is not None and now - last.requested_at <= timedelta(seconds=interval):
            return
        if not candidates.count_new(session, 1):
            return
        learnt_at, learnt = matching.learnt_at(session), matching.model(session)
        if learnt is None or learnt_at is None:
            scope = ALL
        else:
            few = max(MANY, int(SHARE * learnt.records))
            stale = now - learnt_at > timedelta(seconds=whole_every)
            scope = ALL if stale or candidates.count_new(session, few + 1) > few else NEW
        reviews.request_run(session, {"asked_by": "schedule"}, scope=scope)


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
        started = reviews.start_run(session)
    if started is None:
        return None
    run_id, scope = started
    parameters = {"auto_merge_threshold": auto, "review_threshold": review}
    limits = Limits(auto, review)
    try:
        with sessions.begin() as session:
            _count_excluded(session)
        if scope == NEW:
            result = _match_new(sessions, run_id, limits, progress)
        else:
            result = _match_all(sessions, run_id, limits, progress)
        with sessions.begin() as session:
            reviews.finish_run(session, run_id, "done", asdict(result), parameters)
    except Exception as error:
        log.exception("matching run %d failed", run_id)
        with sessions.begin() as session:
            reviews.finish_run(
                session, run_id, "failed", {"error": type(error).__name__}, parameters
            )
    return run_id


def _match_all(
    sessions: Sessions, run_id: int, limits: Limits, progress: Callable[[str], None] | None
) -> Result:
    """Compare everybody with everybody, and learn."""
    with sessions() as session:
        everybody = candidates.every(session)
    pairs, learnt = matching.score(everybody.table, review=limits.review, progress=progress)
    keys = candidates.keys_of(everybody)
    result = Result(records=len(everybody))
    with sessions.begin() as session:
        result.add(_apply(session, pairs, run_id, limits, compared=everybody.changed))
        candidates.keep_keys(session, everybody, keys)
        if learnt is not None:
            matching.keep_model(session, learnt, run_id)
    return result


def _match_new(
    sessions: Sessions, run_id: int, limits: Limits, progress: Callable[[str], None] | None
) -> Result:
    """Compare what is new with whom it could be, some at a time until nothing is."""
    result = Result()
    while True:
        with sessions() as session:
            learnt, fresh = matching.model(session), candidates.new(session, AT_ONCE)
        if not len(fresh):
            return result
        if learnt is None:  # another version of this program learnt it, or nobody has yet
            return _match_all(sessions, run_id, limits, progress)
        keys = candidates.keys_of(fresh)
        with sessions() as session:
            table = candidates.with_neighbours(session, fresh, keys).table
        pairs = matching.score_new(table, fresh.changed.keys(), learnt, review=limits.review)
        if pairs is None:
            return _match_all(sessions, run_id, limits, progress)
        with sessions.begin() as session:
            result.add(_apply(session, pairs, run_id, limits))
            candidates.keep_keys(session, fresh, keys)
        result.records += len(fresh)
        if progress:
            progress(f"{result.records} new records compared")


def _apply(
    session: Session,
    pairs: matching.Pairs,
    run_id: int,
    limits: Limits,
    compared: Collection[int] = (),
) -> matching.Outcome:
    now = datetime.now(UTC)
    outcome = matching.apply(
        session, pairs, auto=limits.auto, at=now, run_id=run_id, compared=compared
    )
    pipeline.after_move(session, outcome.moved)
    return outcome


def _count_excluded(session: Session) -> None:
    """Count the records that consent keeps out of matching."""
    consent.count_denials(
        session,
        use="match",
        denials=[(consent.LINK, why, n) for why, n in candidates.excluded(session).items()],
        at=datetime.now(UTC),
    )
