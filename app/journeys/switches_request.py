"""What one can ask of changes of channel; pure."""

from datetime import timedelta

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import Duration, TimeRange

#: Families of channels where one meets a person (INIT's four, research/journeys.md §1).
HUMAN = ("face to face", "live-assisted")
REPEAT_WITHIN = timedelta(days=7)


class SwitchesQuery(Frozen):
    """Changes of channel in a journey.

    `human` names the families of channels where one meets a person. Who is at the same stage again
    on the new channel, `repeat_within` the switch, repeats themselves.
    """

    journey: Journey
    range: TimeRange = TimeRange()
    human: tuple[str, ...] = HUMAN
    repeat_within: Duration = REPEAT_WITHIN
