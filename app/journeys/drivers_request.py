"""What one can ask of drivers; pure."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Duration, TimeRange
from app.journeys.least import LEAST
from app.journeys.match import Match


class DriversQuery(Frozen):
    """What those who come to an outcome did, and were, more often than those who do not.

    Everybody is watched for equally long: `observe` from their first `entry` in `range` is when
    features count, and `window` after it is when the outcome does. Who has come to the outcome by
    then is `decided` and left out, as is who has not been watched that long yet.

    Features are the names of events while observed, and the values of `props` of the entry. Those
    of fewer than `least` people, or of all but so few, are not tested.
    """

    entry: Match
    outcome: Match
    observe: Annotated[Duration, Field(gt=timedelta(0))]
    window: Annotated[Duration, Field(gt=timedelta(0))]
    props: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=300)], ...], Field(max_length=10)
    ] = ()
    least: int = Field(default=LEAST, ge=5, le=100_000)
    top: int = Field(default=50, ge=1, le=500)
    range: TimeRange = TimeRange()
