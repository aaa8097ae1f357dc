"""What one can ask of friction, drop-off and the voice of the customer; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from app.journeys.definition import Frozen, Journey
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.map_parts import Amount
from app.journeys.match import Match
from app.journeys.opening_hours import OpeningHours

Component = Literal[
    "abandonment", "slowness", "repetition", "backtrack", "escalation", "failure", "voice"
]
COMPONENTS: tuple[Component, ...] = get_args(Component)
Instrument = Literal["nps", "csat", "ces"]
#: The usual scales: Reichheld 2003; a five-point scale; CES 2.0 has seven points, and here more is
#: more effort, as in the question of Dixon, Freeman and Toman 2010.
SCALES: dict[Instrument, tuple[float, float]] = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
WITHIN = timedelta(days=7)

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Score = Annotated[float, Field(ge=-1e9, le=1e9)]
Level = Annotated[float, Field(ge=0, le=1e12)]


class Survey(Frozen):
    """Answers to a question: where the score is, on which scale, and how late it may come.

    An answer belongs to the last touchpoint before it, `max_lag` earlier at most.
    """

    instrument: Instrument
    match: Match
    prop: str = Field(default="score", min_length=1, max_length=300)
    scale: tuple[Score, Score] | None = None
    max_lag: Duration = WITHIN

    @model_validator(mode="after")
    def _sound(self) -> Self:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"/scale: from {low:g} to {high:g} there is nothing to score")
        if self.instrument == "nps" and (low, high) != (0, 10):
            raise ValueError("/scale: the Net Promoter Score is asked from 0 to 10")
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        return self.scale or SCALES[self.instrument]


class VoiceChoices(Frozen):
    """What customers say, joined to the touchpoints before it."""

    range: TimeRange = TimeRange()
    surveys: tuple[Survey, ...] = Field(min_length=1, max_length=20)


class FrictionChoices(Frozen):
    """How much friction each touchpoint has, component by component.

    `within` bounds repetitions and escalations. `failure` are events that say that something went
    wrong during a visit. A component is scored from its `references` (the journey's own median
    where none is given) to its `worst` (the 95th percentile of the touchpoints), and counts with
    its weight; one with fewer than `least` observations is absent. `opening_hours` are those that
    count as time; all do without.
    """

    range: TimeRange = TimeRange()
    within: Duration = WITHIN
    failure: Match | None = None
    surveys: tuple[Survey, ...] = Field(default=(), max_length=20)
    weights: dict[Component, Weight] = Field(default_factory=dict)
    references: dict[Component, Level] = Field(default_factory=dict)
    worst: dict[Component, Level] = Field(default_factory=dict)
    least: int = Field(default=30, ge=1, le=1_000_000)
    opening_hours: OpeningHours | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, worst in self.worst.items():
            if name in self.references and worst <= self.references[name]:
                raise ValueError(f"/worst/{name}: must be above the reference")
        if self.weights and not any(self.weights.get(name, 1.0) for name in COMPONENTS):
            raise ValueError("/weights: a score of components that all weigh nothing")
        return self


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
    least: int = Field(default=30, ge=1, le=1_000_000)


class VoiceQuery(VoiceChoices):
    """What customers say along a journey."""

    journey: Journey


class FrictionQuery(FrictionChoices):
    """The friction of a journey."""

    journey: Journey


class DropOffQuery(DropOffChoices):
    """Where people leave a journey."""

    journey: Journey
