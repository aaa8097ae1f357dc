"""Probabilistic matching: records of people who allow it in, links and reviews out."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import msgspec
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, people, splink_model
from identity.learnt import Learnt
from identity.lock import lock
from identity.tables import LearntModel
from identity.weighing import ScoredPair

Pairs = list[ScoredPair]
#: What was learnt from fewer records is no base for judging others: names that are common seem rare
#: to it. Comparing all of so few costs what Splink's own start does.
LEAST_LEARNT = 5_000
#: What the runs before the last ones learnt is forgotten.
MODELS_KEPT = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did: counts, and what moved."""

    pairs: int
    linked: int
    reviews: int
    moved: graph.Moved


def keep_model(session: Session, learnt: Learnt, run_id: int) -> None:
    """Keep what a whole run has learnt, for the new records that come after it."""
    session.add(LearntModel(run_id=run_id, learnt=msgspec.to_builtins(learnt)))
    session.flush()
    newest = sa.select(LearntModel.id).order_by(LearntModel.id.desc()).limit(MODELS_KEPT)
    session.execute(sa.delete(LearntModel).where(LearntModel.id.not_in(newest)))


def model(session: Session) -> Learnt | None:
    """Return what was learnt last, if anything was by this version of the program."""
    kept = session.scalar(sa.select(LearntModel).order_by(LearntModel.id.desc()).limit(1))
    try:
        return None if kept is None else msgspec.convert(kept.learnt, Learnt)
    except msgspec.ValidationError:
        return None


def learnt_at(session: Session) -> datetime | None:
    """Return when that was."""
    return session.scalar(sa.select(sa.func.max(LearntModel.learnt_at)))


def score(
    table: pa.Table, *, review: float, progress: Callable[[str], None] | None = None
) -> tuple[Pairs, Learnt | None]:
    """Score all records against each other; needs no transaction, and takes the longest of a run.

    Return as well what was learnt meanwhile.
    """
    return splink_model.learn(table, threshold=review, progress=progress)


def score_new(
    table: pa.Table, new: Collection[int], learnt: Learnt, *, review: float
) -> Pairs | None:
    """Score new records against each other and the others; needs no transaction.

    None where what was learnt knows nothing of something that they say, or too little of anything.
    """
    if learnt.records < LEAST_LEARNT:
        return None
    return splink_model.score_new(table, new, learnt, threshold=review)


def apply(
    session: Session,
    pairs: Pairs,
    *,
    auto: float,
    at: datetime,
    run_id: int,
    compared: Collection[int] = (),
) -> Outcome:
    """Link the likely pairs and queue the doubtful ones.

    Of records that were all `compared` with each other, matches that are likely no more are held.

    `auto` is the match probability from which a pair is linked. A pair that a person decided on
    is not asked about again. Consent is asked once more here, link by link (`graph`), because it
    may have been withdrawn while the pairs were scored.
    """
    likely = [p for p in pairs if p.probability >= auto]
    evidence = [
        graph.Evidence(
            pair.left,
            pair.right,
            "match",
            "splink",
            at,
            evidence_id=run_id,
            weight=pair.weight,
            probability=pair.probability,
            details=pair.evidence,
        )
        for pair in likely
    ]
    lock(session)
    touched = graph.observe(session, evidence)
    if compared:
        touched |= _outscored(session, {(p.left, p.right) for p in likely}, frozenset(compared))
    moved = graph.reconsider(session, touched, at=at)
    doubtful = [p for p in pairs if p.probability < auto]
    known = people.people_of(session, {i for p in doubtful for i in (p.left, p.right)})
    apart = [p for p in doubtful if known[p.left] != known[p.right]]
    return Outcome(len(pairs), len(likely), _queue(session, apart, run_id), moved)


def _outscored(
    session: Session, likely: Collection[tuple[int, int]], compared: Collection[int]
) -> set[int]:
    """Note which matches are likely no more: both records were compared, and the pair is not there.

    Told apart here: as an anti-join PostgreSQL read the list anew for every link, for minutes at
    10,000.
    """
    gone = [
        row.id
        for row in session.execute(graph.statement("standing_matches"))
        if (row.left_id, row.right_id) not in likely
        and row.left_id in compared
        and row.right_id in compared
    ]
    if not gone:
        return set()
    noted = session.execute(graph.statement("outscore"), {"ids": graph.array(gone)})
    return {i for row in noted for i in (row.left_id, row.right_id)}


def _queue(session: Session, pairs: Pairs, run_id: int) -> int:
    rows = [
        {
            "left_id": p.left,
            "right_id": p.right,
            "weight": p.weight,
            "probability": p.probability,
            "evidence": p.evidence,
            "run_id": run_id,
        }
        for p in pairs
    ]
    if not rows:
        return 0
    done = session.execute(graph.statement("queue_reviews"), {"rows": json.dumps(rows)})
    return len(done.all())
