"""People's events in the order of journeys, as their journeys can tell them apart."""

import json
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from sys import byteorder
from typing import Any

from sqlalchemy.orm import Session

from app.db import statement
from app.journeys.definition import Journey
from app.journeys.match import EventView, Match, names, properties
from identity import graph


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody's events: of each the time, in microseconds, and which of the `kinds` it is."""

    kinds: Mapping[int, EventView]
    times: Sequence[int] = ()
    kind: Sequence[int] = ()


def told(
    session: Session,
    subjects: Mapping[int, int],
    purpose: str,
    journeys: Collection[Journey],
    *,
    now: datetime | None = None,
) -> dict[int, Told]:
    """Return the events that may be seen of each subject, in the order of research/journeys.md 4.0.

    `subjects` says whose each identifier is. Of the events there is what touchpoints of these
    journeys can ask; with `now`, those that say they happen later are left out.
    """
    if not subjects or not journeys:
        return {subject: Told({}) for subject in subjects.values()}
    identifiers = list(subjects)
    rows = session.execute(
        statement("app.journeys", "told"),
        {
            "identifiers": graph.literal(identifiers),
            "subjects": graph.literal([subjects[one] for one in identifiers]),
            "purpose": purpose,
            "now": now,
            **_asked(point.match for journey in journeys for point in journey.touchpoints),
        },
    ).all()
    kinds = {
        r.kind: EventView(
            r.type, r.name, r.source, None if r.properties is None else json.loads(r.properties)
        )
        for r in rows
        if r.kind is not None
    }
    found = {subject: Told(kinds) for subject in subjects.values()}
    for r in rows:
        if r.kind is None:
            numbers = array("q", r.stops)
            if byteorder == "little":
                numbers.byteswap()
            found[r.subject] = Told(kinds, numbers[::2], numbers[1::2])
    return found


def _asked(touchpoints: Iterable[Match]) -> dict[str, Any]:
    """Say which events may be at one of these, of which their properties are asked, and which.

    By their names, in order; no names are all.
    """
    called: set[str] | None = set()
    asked: set[str] | None = set()
    keys: set[str] = set()
    for match in touchpoints:
        here = names(match)
        called = None if called is None or here is None else called | here
        if here_asked := properties(match):
            asked = None if asked is None or here is None else asked | here
            keys |= here_asked
    return {
        "names": None if called is None else sorted(called),
        "asked": sorted(asked or ()),
        "every": asked is None,
        "keys": sorted(keys),
    }
