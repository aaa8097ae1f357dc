"""What one can ask of uplift; pure."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.match import Match

Share = Annotated[float, Field(gt=0, le=1e6)]


class UpliftQuery(Frozen):
    """For whom a treatment that was drawn by lot changes what they do, and by how much.

    A person is drawn by their first `entry` in `range`; that event says who was `treated` and who
    was `control`, and its `props` what was known of them then. The `outcome` counts in the `window`
    after it. `shares` are the sizes that the draw should have given both. Nothing is asked of what
    was not drawn: `randomised` is your word that it was.
    """

    entry: Match
    treated: Match
    control: Match
    outcome: Match
    window: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=30)
    props: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=300)], ...],
        Field(min_length=1, max_length=20),
    ]
    randomised: Literal[True]
    shares: tuple[Share, Share] = (1, 1)
    least: int = Field(default=50, ge=10, le=1_000_000)
    range: TimeRange = TimeRange()

    @model_validator(mode="after")
    def _two(self) -> Self:
        if self.treated == self.control:
            raise ValueError("/control: it is the same as /treated")
        if len(set(self.props)) != len(self.props):
            raise ValueError("/props: one is named twice")
        return self
