"""What one can ask of next purchases; pure."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from app.journeys.definition import Frozen
from app.journeys.funnel_request import Duration
from app.journeys.match import Match


class NextPurchaseQuery(Frozen):
    """Who is still a customer, and how many purchases are to come within a `horizon` from `as_of`.

    Of everybody whose first `purchase` is before `as_of`. Purchases of one day (UTC) are one.
    """

    purchase: Match
    horizon: Annotated[Duration, Field(ge=timedelta(days=1))] = timedelta(days=90)
