"""What the other analyses are asked for findings, as anybody asks them; pure."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from app.errors import DefinitionInvalid
from app.journeys.definition import Journey
from app.journeys.findings_request import FindingsQuery
from app.journeys.funnel_request import TimeRange
from app.journeys.labels import LocalizedText
from app.journeys.match import Match

#: So many features and deviations are listed where all are asked for.
MOST = 500
#: And so many ways: the first two are held against each other, those that are cut left out.
WAYS = 5
#: The body of a request by analysis, or why it is not asked.
Questions = dict[str, dict[str, Any] | LocalizedText]

NO_MAP = LocalizedText(
    fr="sans carte, il n’y a pas de lieux", en="without a map there are no places"
)
NO_READINGS = LocalizedText(
    fr="« readings » ne dit pas ce qu’est une bonne ou une mauvaise expérience",
    en="`readings` does not say what a good or a bad visit is",
)
NO_SURVEYS = LocalizedText(fr="aucune enquête n’est nommée", en="no survey is named")
NO_TARGET = LocalizedText(fr="la carte n’a pas de parcours cible", en="the map has no target")
NO_END = LocalizedText(
    fr="une seule étape a des points de contact : rien n’y mène",
    en="only one stage has touchpoints: nothing leads there",
)
NO_PERIOD = LocalizedText(
    fr="ni période ni période précédente ne sont nommées",
    en="neither a period nor one before it is named",
)


def questions(query: FindingsQuery, as_of: datetime) -> Questions:
    """Return what each analysis is asked, in the order in which they are looked through."""
    said = query.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    common = {"purpose": query.purpose, "as_of": as_of.isoformat()}
    ranged = common | ({"range": said["range"]} if "range" in said else {})
    return {**_of_places(query, said, ranged), **_of_people(query, said, common, ranged)}


def _of_places(query: FindingsQuery, said: dict[str, Any], ranged: dict[str, Any]) -> Questions:
    names = ("drop-off", "friction", "moments-of-truth", "conformance", "voice", "matrix")
    if query.journey is None:
        return dict.fromkeys(names, NO_MAP)
    mapped = {"journey": query.called or query.journey.key, **ranged}
    surveys = {"surveys": said["surveys"]} if query.surveys else {}
    failure = {"failure": said["failure"]} if query.failure else {}
    outcome = {"outcome": said["outcome"]} if query.outcome else {}
    tested = {"least": query.least, "window": query.model_dump(mode="json")["window"]}
    return {
        "drop-off": {**mapped, "threshold": query.threshold, "least": query.least},
        "friction": {**mapped, **surveys, **failure, "least": query.least},
        "moments-of-truth": {**mapped, **outcome, **tested, "readings": said["readings"]}
        if query.readings
        else NO_READINGS,
        "conformance": {**mapped, "top": MOST} if query.journey.target else NO_TARGET,
        "voice": {**mapped, **surveys} if surveys else NO_SURVEYS,
        "matrix": mapped,
    }


def _of_people(
    query: FindingsQuery, said: dict[str, Any], common: dict[str, Any], ranged: dict[str, Any]
) -> Questions:
    names = ("drivers", "paths", "compare", "anomalies")
    ends = _ends(query)
    if ends is None:
        return dict.fromkeys(names, NO_END)
    entry, outcome = (
        one.model_dump(mode="json", by_alias=True, exclude_defaults=True) for one in ends
    )
    times = {k: v for k, v in query.model_dump(mode="json").items() if k in ("window", "observe")}
    label = {"journey": query.called, "label": "touchpoint"} if query.journey else {}
    before = _before(query)
    holidays = {"holidays": query.holidays} if query.holidays else {}
    return {
        "drivers": {
            **ranged, **times, "entry": entry, "outcome": outcome, "least": query.least,
            "top": MOST,
        },
        "paths": {
            **ranged, **label, "start": entry, "end": outcome, "window": times["window"],
            "max_depth": 100, "top_variants": WAYS,
        },
        "compare": NO_PERIOD if before is None else {
            **common, "entry": entry, "least": query.least,
            "variants": [{"name": "before", "range": _json(before)},
                         {"name": "now", "range": _json(query.range)}],
            "outcomes": [{"name": "outcome", "match": outcome, "window": times["window"]}],
        },
        "anomalies": {**ranged, "match": outcome, "zone": query.zone,
                      "floor": query.least, **holidays},
    }  # fmt: skip


def _json(range: TimeRange) -> dict[str, Any]:
    return range.model_dump(mode="json", by_alias=True, exclude_none=True)


def _before(query: FindingsQuery) -> TimeRange | None:
    """The period to compare with: the one that is named, or as long a one right before."""
    start, end = query.range.start, query.range.end
    if query.before is not None:
        return query.before if start or end else None
    if start is None or end is None:
        return None
    try:
        return TimeRange(start=start - (end - start), end=start)
    except OverflowError:  # there is no such time
        return None


def _ends(query: FindingsQuery) -> tuple[Match, Match] | None:
    """What people come by and to; None where a map leads nowhere and nothing else is asked."""
    entry, outcome = query.entry, query.outcome
    if query.journey is not None:
        stages = _staged(query.journey)
        if len(stages) < 2 and (entry is None or outcome is None):
            return None
        entry = entry or _at(query.journey, stages[0])
        outcome = outcome or last_stage(query.journey)
    if entry is None or outcome is None:
        return None
    return entry, outcome


def last_stage(journey: Journey) -> Match:
    """Return what is mapped to the last stage that has a touchpoint."""
    return _at(journey, _staged(journey)[-1])


def _staged(journey: Journey) -> list[str]:
    """The stages that have a touchpoint, in order."""
    staged = {point.stage for point in journey.touchpoints}
    return [s.id for s in sorted(journey.stages, key=lambda s: s.order) if s.id in staged]


def _at(journey: Journey, stage: str) -> Match:
    """What is mapped to a stage: what fits a touchpoint of it, and none of another one before.

    Raises DefinitionInvalid where that is nested deeper than a match may be.
    """
    try:
        return _mapped_to(journey, stage)
    except ValidationError as error:
        raise DefinitionInvalid(f"stage {stage}: {error.errors()[0]['msg']}") from None


def _mapped_to(journey: Journey, stage: str) -> Match:
    found: list[Match] = []
    others: list[Match] = []
    for point in journey.touchpoints:
        if point.stage != stage:
            others.append(point.match)
        elif others:
            found.append(Match(all=(point.match, Match(not_=Match(any=tuple(others))))))
        else:
            found.append(point.match)
    return found[0] if len(found) == 1 else Match(any=tuple(found))
