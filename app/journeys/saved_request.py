"""A question that is asked again and again, and what of its answers is to be told; pure."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from app.errors import DefinitionInvalid
from app.journeys.asked import FORMS, Asked
from app.journeys.frozen import Duration, Frozen
from app.profiles.conditions import pointed

#: How often one may be asked: every answer is of all events.
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(days=31)
#: What a saved analysis may be called.
KEY = r"^[a-z0-9][a-z0-9_-]{0,62}$"
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Alert(Frozen):
    """What is told of the answers to a saved analysis.

    A figure `at` a place (a JSON Pointer into the result) that is `above` or `below` a bound; told
    once, until it is back within. Or, of anomalies, each interval and change of level that is
    `unusual` since the analysis was saved. `destination` names a webhook of the same purpose.
    """

    at: str | None = Field(default=None, max_length=400, pattern=r"^(/[^/]+)+$")
    above: Figure | None = None
    below: Figure | None = None
    unusual: bool = False
    destination: str | None = Field(default=None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _one(self) -> Self:
        bounded = self.above is not None or self.below is not None
        if self.unusual == (self.at is not None) or bounded != (self.at is not None):
            raise ValueError("/alert: give at with above or below, or unusual")
        if self.above is not None and self.below is not None and self.above < self.below:
            raise ValueError("/alert: every figure is above or below these bounds")
        return self


class SavedAnalysis(Frozen):
    """A question with a name: how it is asked, how often, and what of its answers is told.

    `last` has it asked of that long until the moment of asking, in the place of a `range`.
    """

    name: str = Field(min_length=1, max_length=200)
    analysis: str = Field(max_length=40)
    request: dict[str, Any]
    last: Duration | None = None
    every: Duration = timedelta(hours=1)
    alert: Alert | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.analysis not in FORMS:
            raise ValueError(f"/analysis: there is {', '.join(sorted(FORMS))}")
        if "as_of" in self.request:
            raise ValueError("/request/as_of: it is asked as of each time")
        if not SHORTEST <= self.every <= LONGEST:
            raise ValueError("/every: five minutes at least (PT5M), 31 days at most (P31D)")
        if self.last is not None and (
            "range" in self.request or "range" not in FORMS[self.analysis].model_fields
        ):
            raise ValueError("/last: it is the range of the question, which has or takes none")
        if self.alert is not None and self.alert.unusual and self.analysis != "anomalies":
            raise ValueError("/alert/unusual: of anomalies alone")
        return self


def asked(saved: SavedAnalysis, now: datetime) -> Asked:
    """Return the question as it is asked at a moment; raises DefinitionInvalid."""
    ranged: dict[str, Any] = {}
    if saved.last is not None:
        ranged = {"range": {"from": now - saved.last, "to": now}}
    try:
        return FORMS[saved.analysis].model_validate({**saved.request, **ranged})
    except ValidationError as error:
        raise DefinitionInvalid(pointed(error, "request")) from None
