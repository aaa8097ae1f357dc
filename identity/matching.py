"""Probabilistic matching: records of people who allow it in, links and reviews out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from sqlalchemy.orm import Session

from identity import attributes, graph, people, splink_model


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did: counts, and what moved."""

    pairs: int
    linked: int
    reviews: int
    moved: graph.Moved


def candidates(session: Session) -> pa.Table:
    """Return the records that matching may see, as the table that the model scores.

    Only of people who gave `profile.link` and of whom no identifier refused it.
    """
    rows = session.execute(graph.statement("candidates")).all()
    columns: dict[str, pa.Array] = {
        "record_id": pa.array([row.identifier_id for row in rows], pa.int64())
    }
    for name in attributes.FIELDS:
        columns[name] = pa.array([row.fields.get(name) for row in rows], pa.string())
    return pa.table(columns)


def excluded(session: Session) -> dict[str, int]:
    """Return how many records matching may not see, by reason."""
    return {row.reason: row.records for row in session.execute(graph.statement("excluded"))}


def score(
    table: pa.Table, *, review: float, progress: Callable[[str], None] | None = None
) -> list[splink_model.ScoredPair]:
    """Score the records; needs no transaction, and takes the longest of a run."""
    return splink_model.score(table, threshold=review, progress=progress)


def apply(
    session: Session,
    pairs: list[splink_model.ScoredPair],
    *,
    auto: float,
    at: datetime,
    run_id: int,
) -> Outcome:
    """Link the likely pairs and queue the doubtful ones.

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
    moved = graph.reconsider(session, graph.observe(session, evidence), at=at)
    doubtful = [p for p in pairs if p.probability < auto]
    known = people.people_of(session, {i for p in doubtful for i in (p.left, p.right)})
    apart = [p for p in doubtful if known[p.left] != known[p.right]]
    return Outcome(len(pairs), len(likely), _queue(session, apart, run_id), moved)


def _queue(session: Session, pairs: list[splink_model.ScoredPair], run_id: int) -> int:
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
