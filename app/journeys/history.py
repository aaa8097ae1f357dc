"""Where profiles stand in the journeys of their purpose."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.journeys import catalogue
from app.journeys.standing import placed, stage_of
from app.journeys.told import Told, told
from app.profiles.read import View


def stages(session: Session, views: Sequence[View]) -> dict[int, list[dict[str, Any]]]:
    """Return where each profile stands in each journey of its purpose, by subject.

    The profiles are seen for one purpose; one statement reads the events of all of them.
    """
    found: dict[int, list[dict[str, Any]]] = {view.subject_id: [] for view in views}
    if not views:
        return found
    listed = catalogue.of_purpose(session, views[0].purpose)
    subjects = {i: view.subject_id for view in views for i in view.allowed}
    journeys = [journey for _, journey in listed]
    events = told(session, subjects, views[0].purpose, journeys)
    for subject, stood in found.items():
        for version, journey in listed:
            stops = placed(journey, events.get(subject, Told({})))
            stood.append(
                {
                    "journey": version.key,
                    "version": version.version,
                    "stage": stage_of(journey, stops),
                }
            )
    return found
