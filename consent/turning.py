"""What comes to mean something else although nobody says anything: lapses, beginnings, versions."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from consent.tables import PurposeVersion


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((files("consent") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def turned(session: Session, *, since: datetime, until: datetime) -> Sequence[sa.Row[Any]]:
    """Return whose word came to mean something else by itself: namespace, value, purpose, state.

    After the first time and not after the second. A grant lapsed or began, the TC string that let
    vendors be told lapsed, a demand began or ended, a version of the purpose made grants stale, or
    put it below what was refused or, as marketing, objected to (GDPR art. 21(2)).
    """
    return session.execute(_statement("turned"), {"since": since, "until": until}).all()


def begun(session: Session, *, since: datetime, until: datetime) -> set[str]:
    """Return the purposes of which a version took effect after the first time, not the second."""
    starts = sa.func.greatest(PurposeVersion.effective_from, PurposeVersion.created_at)
    query = sa.select(PurposeVersion.key).where(starts > since, starts <= until)
    return set(session.scalars(query))
