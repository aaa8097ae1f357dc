"""Uses that were denied: counted by reason, and kept one by one for some weeks.

What is not collected at all is only counted: of whom nothing may be stored there is nothing to
name. So are analyses and matching, which leave out everybody who does not allow them, and a
decision that denies more than ten thousand at once.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from app.consents.tables import DeniedUse

#: Rows deleted at once, and ids that one decision keeps.
MOST = 10_000


def note(
    session: Session, use: str, purpose: str, denied: Mapping[int, str], *, at: datetime
) -> None:
    """Count a decision's denials and keep whom it denied, by reason: one row for each reason.

    `denied` are reasons by the id of an identifier; a person or group is called after one of its.
    """
    if not denied:
        return
    counts = Counter(denied.values())
    denials = [(purpose, reason, count) for reason, count in counts.items()]
    consent.count_denials(session, use=use, denials=denials, at=at)
    if len(denied) > MOST:
        return
    whom = defaultdict(list)
    for identifier, reason in denied.items():
        whom[reason].append(identifier)
    rows: list[dict[str, Any]] = [
        {
            "denied_at": at,
            "use": use,
            "purpose": purpose,
            "reason": reason,
            "identifier_ids": sorted(ids),
        }
        for reason, ids in sorted(whom.items())
    ]
    session.execute(sa.insert(DeniedUse), rows)


def of(session: Session, identifiers: Collection[int], *, limit: int) -> list[DeniedUse]:
    """Return decisions that denied one of these identifiers, the newest first."""
    asked: sa.ColumnElement[Any] = sa.cast(sorted(identifiers), DeniedUse.identifier_ids.type)
    query = sa.select(DeniedUse).where(DeniedUse.identifier_ids.overlap(asked))
    return list(session.scalars(query.order_by(DeniedUse.id.desc()).limit(limit)))


def forget(session: Session, *, before: datetime) -> bool:
    """Delete what was denied before a time, some at once; say whether there may be more."""
    old = sa.select(DeniedUse.id).where(DeniedUse.denied_at < before).limit(MOST)
    gone = session.execute(sa.delete(DeniedUse).where(DeniedUse.id.in_(old)))
    return int(gone.rowcount) == MOST  # type: ignore[attr-defined]  # a delete's result has it
