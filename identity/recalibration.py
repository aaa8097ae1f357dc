"""Recalibrations: what decided pairs say of the model's probabilities, versioned, to be ended."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from identity import isotonic, labels
from identity.errors import LabelsThin, RecalibrationNotFound
from identity.isotonic import IDENTITY, Curve
from identity.tables import Recalibration

#: Fewer decided pairs, or fewer of one kind, say nothing that the model does not know better.
LEAST_LABELS = 60
LEAST_OF_A_KIND = 15


def fit(session: Session, *, by: str) -> Recalibration:
    """Make a version from the decided reviews, which counts from the next matching run on.

    Of decided reviews alone: they were asked about without knowing the answer. Of merges only the
    wrong ones come back, so they say nothing of the share that is right. Raises LabelsThin.
    """
    decided = labels.decided(session, "review")
    matches = sum(d.is_match for d in decided)
    if len(decided) < LEAST_LABELS or min(matches, len(decided) - matches) < LEAST_OF_A_KIND:
        raise LabelsThin(
            f"{len(decided)} decided reviews, {matches} of them matches; at least {LEAST_LABELS} "
            f"are needed, and {LEAST_OF_A_KIND} of each kind"
        )
    curve = isotonic.fit((d.probability, d.is_match) for d in decided)
    made = Recalibration(
        lows=list(curve.said),
        shares=list(curve.true),
        labels=len(decided),
        matches=matches,
        made_by=by,
    )
    session.add(made)
    session.flush()
    return made


def current(session: Session) -> Recalibration | None:
    """Return the version that counts, if any does."""
    query = sa.select(Recalibration).where(Recalibration.ended_at.is_(None))
    return session.scalar(query.order_by(Recalibration.id.desc()).limit(1))


def list_all(session: Session) -> list[Recalibration]:
    """Return all versions, newest first."""
    return list(session.scalars(sa.select(Recalibration).order_by(Recalibration.id.desc())))


def roll_back(session: Session, *, by: str) -> Recalibration:
    """End the version that counts; the one before it counts again. Raises RecalibrationNotFound."""
    ending = current(session)
    if ending is None:
        raise RecalibrationNotFound("none counts now")
    ending.ended_at, ending.ended_by = datetime.now(UTC), by
    session.flush()
    return ending


def curve(session: Session) -> Curve:
    """Return what probabilities mean now: the identity without a recalibration."""
    known = current(session)
    return IDENTITY if known is None else Curve(tuple(known.lows), tuple(known.shares))


def describe(version: Recalibration) -> dict[str, Any]:
    """Return a recalibration: its points, from how many labels, and whether it has ended."""
    return {
        "id": version.id,
        "said": version.lows,
        "true": version.shares,
        "labels": version.labels,
        "matches": version.matches,
        "made_by": version.made_by,
        "made_at": version.made_at.isoformat(),
        "ended_by": version.ended_by,
        "ended_at": version.ended_at.isoformat() if version.ended_at else None,
    }
