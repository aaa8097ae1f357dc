"""Where one person stands in each journey: the stage, what comes next, what differs from plan."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.journeys import catalogue, flow
from app.journeys.alignment import Rules, rules
from app.journeys.definition import Journey, finder
from app.journeys.predicate import microseconds
from app.journeys.told import Told, told
from app.journeys.ways import Judged, Way, judge, ways
from app.profiles.read import View

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def of_person(session: Session, view: View, *, now: datetime) -> list[dict[str, Any]]:
    """Return where a person stands in each journey of the purpose they are seen for.

    Computed from their events as they may be seen now, so it is never behind. `next` is what other
    people did from there, as it was counted within the hour.
    """
    listed = catalogue.of_purpose(session, view.purpose)
    whose = dict.fromkeys(view.allowed, view.subject_id)
    journeys = [journey for _, journey in listed]
    events = told(session, whose, view.purpose, journeys, now=now).get(view.subject_id, Told({}))
    stood = {version.key: placed(journey, events) for version, journey in listed}
    following = flow.next_steps(session, {key: _last_two(stops) for key, stops in stood.items()})
    found = []
    for version, journey in listed:
        stops, kept = stood[version.key], following.get(version.key)
        stage = stage_of(journey, stops)
        found.append(
            {
                "journey": version.key,
                "version": version.version,
                "stage": stage,
                "touchpoint": stops[-1][0] if stops else None,
                "since": _time(stops[-1][1]) if stops else None,
                "next": kept.steps if kept else [],
                "next_counted_at": kept.counted_at.isoformat() if kept else None,
                "target": _target(journey, stops, now) if journey.target else None,
            }
        )
    return found


def placed(journey: Journey, events: Told) -> list[tuple[str, int]]:
    """Return the touchpoints that events are at, with their times in microseconds."""
    find = finder(journey)
    points = {number: find(events.kinds[number]) for number in set(events.kind)}
    at = {number: point.id for number, point in points.items() if point is not None}
    return [
        (at[kind], time) for kind, time in zip(events.kind, events.times, strict=True) if kind in at
    ]


def _last_two(stops: Sequence[tuple[str, int]]) -> list[str]:
    """Return the last two touchpoints that differ, or fewer."""
    if not stops:
        return []
    last = stops[-1][0]
    before = next((one for one, _ in reversed(stops) if one != last), None)
    return [last] if before is None else [before, last]


def current(
    rule: Rules, stops: Iterable[tuple[str, int]], *, now: int
) -> tuple[Way, Judged] | None:
    """Return the latest way of a person, and how it stands to the target."""
    taken = ways(rule, stops, now=now)
    return (taken[-1], judge(rule, taken[-1], now=now)) if taken else None


def differences(rule: Rules, way: Way, judged: Judged) -> list[dict[str, Any]]:
    """Return the deviations of a way, by time, each with when it became one."""
    found = [
        {
            "kind": one.kind,
            "touchpoint": one.touchpoint,
            "to": None,
            "since": _time(way.stops[one.at].first if one.at is not None else way.stops[-1].last),
        }
        for one in judged.deviations
    ]
    for late in judged.late:
        one, two = (rule.places[place].touchpoint for place in late.edge)
        found.append({"kind": "late", "touchpoint": one, "to": two, "since": _time(late.since)})
    return sorted(found, key=lambda one: (str(one["since"]), str(one["kind"])))


def _target(
    journey: Journey, stops: Iterable[tuple[str, int]], now: datetime
) -> dict[str, Any] | None:
    rule = rules(journey)
    found = current(rule, stops, now=microseconds(now))
    if found is None:
        return None
    way, judged = found
    pending = judged.alignment.pending
    open_ = way.state == "open" and pending < len(rule.places)
    return {
        "state": way.state,
        "began_at": _time(way.stops[0].first),
        "fit": judged.fit,
        "expected": rule.places[pending].touchpoint if open_ else None,
        "due_at": None if judged.due is None else _time(judged.due),
        "deviations": differences(rule, way, judged),
    }


def stage_of(journey: Journey, stops: Sequence[tuple[str, int]]) -> str | None:
    """Return the stage that somebody with these stops is at, by the journey's rule."""
    if not stops:
        return None
    orders = {stage.id: stage.order for stage in journey.stages}
    stages = {point.id: point.stage for point in journey.touchpoints}
    if journey.stage_rule == "latest":
        return stages[stops[-1][0]]
    return max(
        (stages[point] for point in {point for point, _ in stops}), key=lambda stage: orders[stage]
    )


def _time(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat()
