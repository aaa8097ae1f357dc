"""What one can ask of friction, drop-off and the voice of the customer; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.least import LEAST
from app.journeys.map_parts import Amount
from app.journeys.match import Match
from app.journeys.opening_hours import OpeningHours
from app.journeys.survey import Survey

Component = Literal[
    "abandonment", "slowness", "repetition", "backtrack", "escalation", "failure", "voice"
]
COMPONENTS: tuple[Component, ...] = get_args(Component)
WITHIN = timedelta(days=7)

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Level = Annotated[float, Field(ge=0, le=1e12)]


class VoiceChoices(Frozen):
    """What customers say, joined to the touchpoints before it."""

    range: TimeRange = TimeRange()
    surveys: tuple[Survey, ...] = Field(min_length=1, max_length=20)


class FrictionRules(Frozen):
    """What makes friction, and how much of it.

    `within` bounds repetitions and escalations. `failure` are events that say that something went
    wrong during a visit. A component is scored from its `references` (the journey's own median
    where none is given) to its `worst` (the 95th percentile of the touchpoints), and counts with
    its weight; one with fewer than `least` observations is absent. `opening_hours` are those that
    count as time; all do without.
    """

    within: Duration = WITHIN
    failure: Match | None = None
    weights: dict[Component, Weight] = Field(default_factory=dict)
    references: dict[Component, Level] = Field(default_factory=dict)
    worst: dict[Component, Level] = Field(default_factory=dict)
    least: int = Field(default=LEAST, ge=1, le=1_000_000)
    opening_hours: OpeningHours | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, worst in self.worst.items():
            if name in self.references and worst <= self.references[name]:
                raise ValueError(f"/worst/{name}: must be above the reference")
        if self.weights and not any(self.weights.get(name, 1.0) for name in COMPONENTS):
            raise ValueError("/weights: a score of components that all weigh nothing")
        return self


class FrictionChoices(FrictionRules):
    """How much friction each touchpoint has, component by component; `surveys` are its voice.

    So many `transitions` from one touchpoint to the next, those that most people make, are scored
    as well.
    """

    range: TimeRange = TimeRange()
    surveys: tuple[Survey, ...] = Field(default=(), max_length=20)
    transitions: int = Field(default=0, ge=0, le=500)


class DropOffChoices(Frozen):
    """Where people leave a journey, and what is lost there.

    `at_stake` is what a person would have brought, as events say (the cart's value); without it
    the loss is expected from those who came through. A place is a rupture where at least
    `least` people left or went on, and the share that left is above `threshold` and twice the
    journey's median, both by the lower end of its 95 % interval. `within` is how soon a change of
    channel should lead to a later stage.
    """

    range: TimeRange = TimeRange()
    at_stake: Amount | None = None
    threshold: Share = 0.1
    within: Duration = WITHIN
    least: int = Field(default=LEAST, ge=1, le=1_000_000)


class VoiceQuery(VoiceChoices):
    """What customers say along a journey."""

    journey: Journey


class FrictionQuery(FrictionChoices):
    """The friction of a journey."""

    journey: Journey


class DropOffQuery(DropOffChoices):
    """Where people leave a journey."""

    journey: Journey
