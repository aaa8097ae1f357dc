"""People's events in the order of journeys, with their times and who acted."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.db import statement
from app.journeys.match import EventView
from identity import graph


@dataclass(frozen=True, slots=True)
class Told:
    """One event, when it happened, and the identifier that acted."""

    identifier_id: int
    occurred_at: datetime
    event: EventView


def told(
    session: Session, identifiers: Collection[int], purpose: str, *, now: datetime | None = None
) -> Iterator[Told]:
    """Yield the events of identifiers that may be seen, in the order of research/journeys.md 4.0.

    With `now`, those that say they happen later are left out.
    """
    rows = session.execute(
        statement("app.journeys", "told"),
        {"identifiers": graph.array(identifiers), "purpose": purpose, "now": now},
    )
    for r in rows:
        yield Told(
            r.identifier_id, r.occurred_at, EventView(r.type, r.name, r.source, r.properties)
        )
