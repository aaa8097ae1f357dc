"""What one can ask of a prediction; pure."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Duration
from app.journeys.match import Match


class PredictionQuery(Frozen):
    """How likely everybody is to do something, or to stay away, within a horizon from `as_of`.

    `propensity` is the probability of an `outcome` within the `horizon`, `churn` that of none.
    Scored is who did something that fits `population` (anything, without it) in the `lookback`
    before; with `first` only who has never done the outcome. What a score rests on are the events
    of the look-back alone: how many of which name, on how many days, how long ago.

    It is learnt from what the same people did at earlier times, `snapshots` of them, one horizon
    apart, and judged at the last time whose outcome is known, which it was not learnt from.
    """

    outcome: Match
    predicts: Literal["propensity", "churn"] = "propensity"
    horizon: Annotated[Duration, Field(ge=timedelta(hours=1))] = timedelta(days=30)
    lookback: Annotated[Duration, Field(ge=timedelta(hours=1))] = timedelta(days=90)
    population: Match | None = None
    first: bool = False
    snapshots: int = Field(default=3, ge=1, le=12)
    most_names: int = Field(default=20, ge=1, le=100)
