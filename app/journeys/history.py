"""People's events in the order of journeys, for rules that run over single profiles."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.db import statement
from app.journeys import catalogue
from app.journeys.definition import current_stage
from app.journeys.match import EventView
from app.profiles.read import View


def stages(session: Session, views: Sequence[View]) -> dict[int, list[dict[str, Any]]]:
    """Return where each profile stands in each journey of its purpose, by subject.

    The profiles are seen for one purpose; one statement reads the events of all of them.
    """
    found: dict[int, list[dict[str, Any]]] = {view.subject_id: [] for view in views}
    if not views:
        return found
    purpose = views[0].purpose
    journeys = catalogue.of_purpose(session, purpose)
    subjects = {i: view.subject_id for view in views for i in view.allowed}
    events: dict[int, list[EventView]] = {subject: [] for subject in found}
    if journeys and subjects:
        rows = session.execute(
            statement("app.journeys", "history"),
            {"identifiers": sorted(subjects), "purpose": purpose},
        )
        for r in rows:
            view = EventView(r.type, r.name, r.source, r.properties)
            events[subjects[r.identifier_id]].append(view)
    for subject, stood in found.items():
        for version, journey in journeys:
            stage = current_stage(journey, events[subject])
            stood.append(
                {
                    "journey": version.key,
                    "version": version.version,
                    "stage": stage.id if stage else None,
                }
            )
    return found
