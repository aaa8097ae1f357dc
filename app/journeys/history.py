"""One person's events in the order of journeys, for rules that run over a single profile."""

from sqlalchemy.orm import Session

from app.db import statement
from app.journeys.definition import EventView
from app.profiles.read import View


def oldest_first(session: Session, view: View) -> list[EventView]:
    """Return the events that may be seen, in the order of research/journeys.md 4.0."""
    rows = session.execute(
        statement("app.journeys", "history"),
        {"identifiers": list(view.allowed), "purpose": view.purpose},
    )
    return [EventView(r.type, r.name, r.source, r.properties) for r in rows]
