"""Pairs that were judged before: matches that stand and reviews that wait, and taking them back."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import graph
from identity.lock import lock
from identity.tables import Review, Suspension

#: An id of a link or a review, and its left and right record.
Pair = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Judged:
    """The matches that stand and the undecided reviews of some records."""

    matches: list[Pair] = field(default_factory=list)
    reviews: list[Pair] = field(default_factory=list)

    @property
    def ends(self) -> set[tuple[int, int]]:
        """The pairs as (left, right)."""
        return {(left, right) for _, left, right in (*self.matches, *self.reviews)}


def of(session: Session, records: Collection[int]) -> Judged:
    """Return what was judged of pairs that one of these records is in."""
    found = Judged()
    for row in session.execute(graph.statement("judged"), {"ids": graph.array(records)}):
        kind = found.matches if row.kind == "match" else found.reviews
        kind.append((row.id, row.left_id, row.right_id))
    return found


def matches(session: Session) -> Iterator[Pair]:
    """Yield all matches that stand."""
    rows = session.execute(
        graph.statement("standing_matches"), execution_options={"yield_per": 50_000}
    )
    for row in rows:
        yield row.id, row.left_id, row.right_id


def reviews(session: Session) -> Iterator[Pair]:
    """Yield all reviews that nobody has decided."""
    query = sa.select(Review.id, Review.left_id, Review.right_id).where(Review.decision.is_(None))
    for row in session.execute(query, execution_options={"yield_per": 50_000}):
        yield row.id, row.left_id, row.right_id


def outscore(session: Session, ids: Collection[int], *, at: datetime) -> graph.Moved:
    """Hold matches that are likely no more."""
    lock(session)
    noted = session.execute(graph.statement("outscore"), {"ids": graph.array(ids)})
    return graph.reconsider(
        session, {i for row in noted for i in (row.left_id, row.right_id)}, at=at
    )


def close(session: Session, ids: Collection[int]) -> int:
    """Forget reviews that there is no reason to ask about any more; return how many.

    One that somebody has decided meanwhile stays. A pair that is in doubt again is asked anew.
    """
    gone = sa.delete(Review).where(graph.among(Review.id, ids), Review.decision.is_(None))
    return len(session.execute(gone.returning(Review.id)).all())


def taken_back(session: Session, pairs: Iterable[tuple[int, int]]) -> int:
    """Return how many of these matches stay undone, because their run was."""
    wanted = list(pairs)
    if not wanted or session.scalar(sa.select(Suspension.id).limit(1)) is None:
        return 0
    rows = graph.rows_of([{"left_id": left, "right_id": right} for left, right in wanted])
    return session.scalar(graph.statement("taken_back"), {"rows": rows}) or 0
