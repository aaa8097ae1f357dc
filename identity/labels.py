"""What people decided of pairs, kept beside what had been said of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from identity import people
from identity.tables import Label, LearntModel, Link, Merge, Review, Run


@dataclass(frozen=True, slots=True)
class Decided:
    """The latest decision about a pair that matching had scored."""

    probability: float
    is_match: bool
    origin: str
    model_run_id: int | None


def keep(
    session: Session,
    of: Review | Link,
    *,
    match: bool,
    origin: str,
    by: str,
    guard: str | None = None,
) -> None:
    """Note a decision about a pair as a label, with what matching had said of it."""
    scored = isinstance(of, Review) or of.kind == "match"
    run = of.run_id if isinstance(of, Review) else of.scored_run_id or of.evidence_id
    session.add(
        Label(
            left_id=of.left_id,
            right_id=of.right_id,
            is_match=match,
            origin=origin,
            probability=of.probability if scored else None,
            weight=of.weight if scored else None,
            model_run_id=model_of(session, run) if scored and run is not None else None,
            guard=guard,
            decided_by=by,
        )
    )
    session.flush()


def model_of(session: Session, run_id: int) -> int | None:
    """Return the whole run whose model a run scored by; None where it is forgotten.

    A run says so itself, since the version that is in force is not always the latest.
    """
    run = session.get(Run, run_id)
    said = (run.result or {}).get("model_run") if run is not None else None
    at_most = said if isinstance(said, int) else run_id
    query = sa.select(sa.func.max(LearntModel.run_id)).where(LearntModel.run_id <= at_most)
    return session.scalar(query)


def matches_of(session: Session, merge_id: int) -> list[Link]:
    """Return the matches that stand and that a merge rests on; none of one that is not known."""
    merge = session.get(Merge, merge_id)
    rests_on = [] if merge is None else people.merge_links(session, merge)
    return [link for link in rests_on if link.kind == "match" and link.revoked_at is None]


def keep_undo(session: Session, matches: Iterable[Link], *, by: str) -> None:
    """Note that the matches of a merge, since undone, were wrong."""
    for link in matches:
        keep(session, link, match=False, origin="undo", by=by)


def keep_constraint(session: Session, one: int, other: int, *, match: bool, by: str) -> None:
    """Note what an operator decided of two identifiers, if matching had scored them."""
    left, right = sorted((one, other))
    scored: Link | Review | None = session.scalar(
        sa.select(Link).where(Link.left_id == left, Link.right_id == right, Link.kind == "match")
    ) or session.scalar(sa.select(Review).where(Review.left_id == left, Review.right_id == right))
    if scored is not None:
        keep(session, scored, match=match, origin="constraint", by=by)


def decided(session: Session, *origins: str) -> list[Decided]:
    """Return the latest label of each scored pair, or only those of some origins."""
    latest = (
        sa.select(Label)
        .ext(distinct_on(Label.left_id, Label.right_id))
        .where(Label.probability.is_not(None))
        .order_by(Label.left_id, Label.right_id, Label.id.desc())
    )
    rows = session.scalars(latest)
    return [
        Decided(row.probability or 0.0, row.is_match, row.origin, row.model_run_id)
        for row in rows
        if not origins or row.origin in origins
    ]
