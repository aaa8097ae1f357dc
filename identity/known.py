"""The model that was learnt last, and what it says of two records.

Without DuckDB and Arrow, which take 45 MB: a server that is never asked to explain a pair, or to
preview a model, does without (`waterfall` computes).
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity.bars import Waterfall
from identity.learnt import Learnt, read
from identity.tables import LearntModel

#: The rule of links that matching shows.
RULE = "splink"


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two records, how surely they are one person, and why.

    `weight` is the log2 of the odds and the sum of `evidence`, which holds one match weight per
    compared trait, the `prior` and the `household` discount. Record ids: left < right.
    """

    left: int
    right: int
    weight: float
    probability: float
    evidence: dict[str, float]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two records as matching compares them; `rules` are the blocking rules that both share."""

    left: int
    right: int
    waterfall: Waterfall
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A model that a whole run has learnt, and when."""

    id: int
    run_id: int
    learnt: Learnt


def model(session: Session, run_id: int | None = None) -> Known | None:
    """Return the model in force, or that of an earlier run; None if there is none.

    In force is the one that somebody pinned, else the one that was learnt last. One that another
    version of the program has learnt is none, and if it is the pinned one, it is passed over.
    """
    query = sa.select(LearntModel).order_by(LearntModel.id.desc()).limit(1)
    if run_id is not None:
        return _known(session.scalar(query.where(LearntModel.run_id == run_id)))
    return pinned(session) or _known(session.scalar(query))


def pinned(session: Session) -> Known | None:
    """Return the model that somebody holds on to, if this version of the program can read it."""
    return _known(session.scalar(sa.select(LearntModel).where(LearntModel.pinned_at.is_not(None))))


def _known(kept: LearntModel | None) -> Known | None:
    learnt = None if kept is None else read(kept.learnt)
    return None if kept is None or learnt is None else Known(kept.id, kept.run_id, learnt)
