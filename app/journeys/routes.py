"""The SQL of an event's label in paths."""

from app.journeys.definition import Journey
from app.journeys.map_parts import Touchpoint
from app.journeys.paths_request import PathsRequest, Property
from app.journeys.predicate import OF_TRAITS, Parameters, json_pointer, sql


def label_of(request: PathsRequest, parameters: Parameters) -> str:
    """Return the expression of an event's label, NULL where a part of it is missing."""
    parts = [_part(part, request.journey, parameters) for part in request.label]
    text = parts[0] if len(parts) == 1 else " || ' · ' || ".join(parts)
    for rule in request.replace:
        pattern, by = parameters.bind(rule.pattern), parameters.bind(rule.by)
        text = f"regexp_replace({text}, {pattern}, {by})"
    return text


def _part(part: str | Property, journey: Journey | None, parameters: Parameters) -> str:
    if isinstance(part, Property):
        found = f"json_extract_string(properties, {parameters.bind(json_pointer(part.prop))})"
        return f"CASE WHEN NOT {OF_TRAITS} THEN {found} END"
    if part == "event" or journey is None:
        return "name"
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)} THEN {parameters.bind(mapped(part, point))}"
        for point in journey.touchpoints
    )
    return f"CASE {branches} END"


def mapped(part: str, point: Touchpoint) -> str:
    """Return what a touchpoint is called as a touchpoint, stage, channel, or both of these."""
    return {
        "touchpoint": point.id,
        "stage": point.stage,
        "channel": point.channel,
        "stage_channel": f"{point.stage} × {point.channel}",
    }[part]
