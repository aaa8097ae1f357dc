"""Probabilistic matching: records of people who allow it in, links and reviews out."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph, judged, known, people, records, restricted, splink_model
from identity.blocking import Table
from identity.candidates import Fresh, Neighbours
from identity.known import ScoredPair
from identity.learnt import Learnt
from identity.lock import lock
from identity.reviews import ALL
from identity.tables import LearntModel, Run
from identity.whole import Whole

Pairs = list[ScoredPair]
#: What was learnt from fewer records is no base for judging others: names that are common seem rare
#: to it. Comparing all of so few costs what Splink's own start does.
LEAST_LEARNT = 5_000
#: What the runs before the last ones learnt is forgotten.
MODELS_KEPT = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did: counts, and what moved. Of the linked so many stay `undone`."""

    pairs: int
    linked: int
    reviews: int
    undone: int
    moved: graph.Moved


def keep_model(session: Session, learnt: Learnt, run_id: int) -> None:
    """Keep what a whole run has learnt, for the new records that come after it."""
    session.add(LearntModel(run_id=run_id, learnt=msgspec.to_builtins(learnt)))
    session.flush()
    newest = sa.select(LearntModel.id).order_by(LearntModel.id.desc()).limit(MODELS_KEPT)
    old = LearntModel.id.not_in(newest), LearntModel.pinned_at.is_(None)
    session.execute(sa.delete(LearntModel).where(*old))


def model(session: Session) -> Learnt | None:
    """Return what new records are scored by, if this version of the program has learnt anything."""
    found = known.model(session)
    return None if found is None else found.learnt


def learnt_at(session: Session) -> datetime | None:
    """Return when a whole run learnt last, or scored everybody by a model that is pinned."""
    times = session.execute(
        sa.select(
            sa.select(sa.func.max(LearntModel.learnt_at)).scalar_subquery(),
            sa.select(sa.func.max(Run.finished_at))
            .where(Run.state == "done", Run.parameters["scope"].astext == ALL)
            .scalar_subquery(),
        )
    ).one()
    return max((at for at in times if at is not None), default=None)


def score(records: Iterable[Table], *, review: float) -> Pairs:
    """Score all records against each other, and keep nothing; needs no transaction."""
    with Whole() as whole:
        for some in records:
            whole.add(some)
        whole.compare(threshold=review)
        return [pair for pairs in whole.pairs(10_000) for pair in pairs]


def score_new(
    fresh: Fresh,
    among: Neighbours,
    learnt: Learnt,
    *,
    review: float,
    again: Collection[tuple[int, int]] = (),
) -> Pairs | None:
    """Score new records against each other and the others; needs no transaction.

    `again` are pairs that were judged before: weighed even where a flood of new records leaves
    their keys out, as a whole run would. None where what was learnt knows nothing of something
    that they say.
    """
    return splink_model.score_new(
        among.table,
        fresh.changed.keys(),
        learnt,
        among.usable,
        threshold=review,
        again=again,
        within=among.within,
    )


def apply(session: Session, pairs: Pairs, *, auto: float, at: datetime, run_id: int) -> Outcome:
    """Link the likely pairs and queue the doubtful ones. Safe to repeat.

    `auto` is the match probability from which a pair is linked. A pair that a person decided on
    is not asked about again. Consent is asked once more here, link by link (`graph`), because it
    may have been withdrawn while the pairs were scored. Whoever was erased or restricted meanwhile
    is left out, and whose record says nothing any more.
    """
    lock(session)
    pairs = _still_there(session, pairs)
    likely = [p for p in pairs if p.probability >= auto]
    evidence = [
        graph.Evidence(
            pair.left,
            pair.right,
            "match",
            known.RULE,
            at,
            evidence_id=run_id,
            weight=pair.weight,
            probability=pair.probability,
            details=pair.evidence,
        )
        for pair in likely
    ]
    touched = graph.observe(session, evidence)
    moved = graph.reconsider(session, touched, at=at)
    asked = _queue(session, [p for p in pairs if p.probability < auto], run_id)
    undone = judged.taken_back(session, [(p.left, p.right) for p in likely])
    return Outcome(len(pairs), len(likely), asked, undone, moved)


def ask(session: Session, pairs: Pairs, *, run_id: int) -> int:
    """Queue doubtful pairs of two people, whose match was just taken back; return how many."""
    lock(session)
    return _queue(session, _still_there(session, pairs), run_id)


def _still_there(session: Session, pairs: Pairs) -> Pairs:
    """Leave out whom no run may look at any more: erased, restricted or silent meanwhile."""
    here = people.people_of(session, {i for p in pairs for i in (p.left, p.right)})
    stopped = restricted.people(session, set(here.values()))
    silent = records.silent(session, here)
    here = {i: p for i, p in here.items() if p not in stopped and i not in silent}
    return [p for p in pairs if p.left in here and p.right in here]


def _queue(session: Session, pairs: Pairs, run_id: int) -> int:
    whose = people.people_of(session, {i for p in pairs for i in (p.left, p.right)})
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
        if whose[p.left] != whose[p.right]
    ]
    if not rows:
        return 0
    done = session.execute(graph.statement("queue_reviews"), {"rows": json.dumps(rows)})
    return len(done.all())
