"""Reads what a source sent, to propose a plan for it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.access import sources
from app.db import statement
from app.plans.infer import Arrival, Proposal, propose

#: How many of the newest events, of all sources, are looked through for those of one.
REACH = 1_000_000
#: Text of their properties that is read at most; fewer events are looked at where they are large.
MOST_BYTES = 67_108_864
#: Through a cursor, so that a hundred rows are held at a time: 90 MB of events took 91 MB of
#: memory, and take 6 MB.
FEW_AT_ONCE = {"stream_results": True, "max_row_buffer": 100}


def infer(
    session: Session, source: str, *, since: datetime, limit: int, required_share: float
) -> Proposal:
    """Return a plan proposed from the newest events of a source; raises SourceNotFound.

    It reads what was stored, so nothing that consent kept out, and no more than MOST_BYTES. The
    proposal holds names, types and counts, and no value of a single person (app/plans/infer.py).
    """
    found = sources.find(session, source)
    wanted = {"source_id": found.id, "since": since, "limit": limit, "reach": REACH}
    query = statement("app.plans", "arrivals")
    with session.execute(query, wanted, execution_options=FEW_AT_ONCE) as rows:
        return propose(_read(rows), required_share=required_share)


def _read(rows: Iterable[sa.Row[Any]]) -> Iterator[Arrival]:
    size = 0
    for row in rows:
        size += len(row.properties)
        if size > MOST_BYTES:
            return
        try:
            values = msgspec.json.decode(row.properties, type=dict)
        except (msgspec.DecodeError, RecursionError):
            continue  # nested more deeply than a plan could say
        yield Arrival(row.type, row.name or "", row.identifier_id, values)
