"""A journey with the journeys that are parts of it: their touchpoints at its own stages; pure."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from app.errors import DefinitionInvalid
from app.journeys.definition import Journey
from app.journeys.map_parts import Touchpoint


def whole(
    journey: Journey, parts: Mapping[str, Sequence[Journey]], above: tuple[str, ...] = ()
) -> Journey:
    """Return a journey into which its parts are rolled up, and theirs into them.

    `parts` are those of each journey, by key; what is `above` is in none of its own parts. A part
    is the stage of its parent that it names, or goes stage by stage by the same ids. Its
    touchpoints, called `part.touchpoint`, come after the parent's own, which therefore keep the
    events that both claim; its channels are added where the parent has none of the name. All else
    is the parent's. Raises DefinitionInvalid.
    """
    points, channels = list(journey.touchpoints), list(journey.channels)
    path = (*above, journey.key)
    for part in parts.get(journey.key, ()):
        if part.key in path:
            continue
        rolled = whole(part, parts, path)
        known = {one.id for one in channels}
        channels += [one for one in rolled.channels if one.id not in known]
        points += [_placed(journey, part, one) for one in rolled.touchpoints]
    try:
        return Journey.model_validate(
            dict(journey) | {"touchpoints": tuple(points), "channels": tuple(channels)}
        )
    except ValidationError as error:
        raise DefinitionInvalid(f"{journey.key}: {error.errors()[0]['msg']}") from None


def _placed(journey: Journey, part: Journey, point: Touchpoint) -> Touchpoint:
    """A touchpoint of a part at a stage of the journey, without the KPIs of the part's map."""
    stage = (part.parent.stage if part.parent else None) or point.stage
    if stage not in {one.id for one in journey.stages}:
        raise DefinitionInvalid(
            f"#/parent/stage: {part.key} has the stage {stage!r}, which {journey.key} has not;"
            " say in the part which stage of the whole it is"
        )
    return point.model_copy(update={"id": f"{part.key}.{point.id}", "stage": stage, "kpis": ()})
