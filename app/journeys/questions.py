"""The questions that were asked, kept for some days so that their numbers can be opened."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.errors import AnalysisNotFound
from app.journeys.tables import Analysis

#: How long a number of an answer can be opened. A board that asks anew every minute leaves 43,200
#: rows of some hundred bytes each.
KEPT = timedelta(days=30)


def keep(
    session: Session,
    *,
    query_id: str,
    kind: str,
    definition: dict[str, Any],
    purpose: str,
    as_of: datetime,
    fingerprint: str,
    now: datetime,
) -> None:
    """Note a question, and forget those that are over."""
    session.execute(sa.delete(Analysis).where(Analysis.asked_at < now - KEPT))
    values = {
        "query_id": query_id,
        "kind": kind,
        "definition": definition,
        "purpose": purpose,
        "as_of": as_of,
        "fingerprint": fingerprint,
        "asked_at": now,
    }
    session.execute(
        insert(Analysis)
        .values(values)
        .on_conflict_do_update(index_elements=["query_id"], set_={"asked_at": now})
    )


def find(session: Session, query_id: str) -> Analysis:
    """Return a question; raises AnalysisNotFound."""
    found = session.get(Analysis, query_id)
    if found is None:
        raise AnalysisNotFound(query_id)
    return found
