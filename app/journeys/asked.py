"""Questions as people ask them: with the key of a journey, a purpose and a time; pure."""

from typing import Any

from pydantic import ConfigDict, Field

from app.journeys.asked_over_time import FORMS as OVER_TIME
from app.journeys.asked_over_time import AskedOverTime
from app.journeys.asked_places import FORMS as PLACES
from app.journeys.asked_places import AskedPlaces
from app.journeys.asking import ASIDE, Asking
from app.journeys.attribution_request import AttributionChoices, AttributionQuery
from app.journeys.conformance_request import ConformanceQuery
from app.journeys.definition import Frozen, Journey
from app.journeys.findings_request import FindingsChoices, FindingsQuery
from app.journeys.funnel_request import Duration, FunnelRequest, Instant, TimeRange
from app.journeys.matrix_request import MatrixChoices, MatrixQuery
from app.journeys.paths_request import PathsChoices, PathsRequest
from app.journeys.readiness_request import ReadinessChoices, ReadinessQuery
from app.journeys.switches_request import HUMAN, REPEAT_WITHIN, SwitchesQuery

#: What an analysis is for when neither it nor its journey says otherwise.
DEFAULT_PURPOSE = "analytics.audience"


class FunnelIn(FunnelRequest):
    """A funnel, the journey it belongs to, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "steps": [{"event": "Product Viewed"}, {"event": "Order Completed"}],
                "window": "P7D",
                "entry": "best",
            }
        }
    )

    journey: str | None = None
    purpose: str | None = Field(default=None, max_length=100)

    def question(self, journey: Journey | None) -> FunnelRequest:
        """Return the funnel to count."""
        return FunnelRequest.model_validate(_said(self))


class PathsIn(PathsChoices):
    """Paths, the journey whose touchpoints may label them, and the purpose they serve."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "start": {"event": "Product Viewed"},
                "journey": "retail-purchase",
                "label": "touchpoint",
                "max_depth": 4,
                "inactivity": "P30D",
            }
        }
    )

    journey: str | None = None
    purpose: str | None = Field(default=None, max_length=100)
    as_of: Instant | None = None

    def question(self, journey: Journey | None) -> PathsRequest:
        """Return the paths to find; raises ValidationError where a label needs a journey."""
        return PathsRequest.model_validate({**_said(self), "journey": journey})


class MatrixIn(MatrixChoices, Asking):
    """A matrix of a saved journey."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "journey": "retail-purchase",
                "surveys": [
                    {"instrument": "nps", "match": {"event": "Survey Answered"}, "prop": "score"}
                ],
                "friction": {"failure": {"event": "Payment Failed"}},
            }
        }
    )

    journey: str

    def question(self, journey: Journey | None) -> MatrixQuery:
        """Return the matrix to compute."""
        return MatrixQuery.model_validate({**self.said(), "journey": journey})


class SwitchesIn(Frozen):
    """Changes of channel in a saved journey."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"journey": "retail-purchase", "human": ["face to face"]}},
    )

    journey: str
    purpose: str | None = Field(default=None, max_length=100)
    range: TimeRange = TimeRange()
    as_of: Instant | None = None
    human: tuple[str, ...] = Field(default=HUMAN, max_length=20)
    repeat_within: Duration = REPEAT_WITHIN

    def question(self, journey: Journey | None) -> SwitchesQuery:
        """Return the switches to count."""
        return SwitchesQuery.model_validate({**_said(self), "journey": journey})


class AttributionIn(AttributionChoices):
    """Attribution, the journey whose channels may label the touches, and the purpose."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "journey": "retail-purchase",
                "conversion": {"event": "Order Completed"},
                "label": "channel",
                "value": "total",
                "lookback": "P30D",
            }
        }
    )

    journey: str | None = None
    purpose: str | None = Field(default=None, max_length=100)
    as_of: Instant | None = None

    def question(self, journey: Journey | None) -> AttributionQuery:
        """Return what to attribute; raises ValidationError where a label needs a journey."""
        return AttributionQuery.model_validate({**_said(self), "journey": journey})


class ConformanceIn(Frozen):
    """How people's ways through a saved journey differ from its target."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"journey": "retail-purchase"}}
    )

    journey: str
    purpose: str | None = Field(default=None, max_length=100)
    range: TimeRange = TimeRange()
    as_of: Instant | None = None
    top: int = Field(default=50, ge=1, le=500)

    def question(self, journey: Journey | None) -> ConformanceQuery:
        """Return the comparison; raises ValidationError for a journey without a target."""
        return ConformanceQuery.model_validate({**_said(self), "journey": journey})


class FindingsIn(FindingsChoices, Asking):
    """Findings of a saved journey, or of what leads from an entry to an outcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "journey": "retail-purchase",
                "range": {"from": "2026-05-01", "to": "2026-06-01"},
                "window": "P7D",
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> FindingsQuery:
        """Return what to look for; raises ValidationError without a journey, entry and outcome."""
        own = journey.purpose if journey else DEFAULT_PURPOSE
        named = {"journey": journey, "called": self.journey, "purpose": self.purpose or own}
        return FindingsQuery.model_validate({**self.said(), **named})


class ReadinessIn(ReadinessChoices, Asking):
    """How ready the data is, for a saved journey where one is named."""

    model_config = ConfigDict(json_schema_extra={"example": {"journey": "retail-purchase"}})

    journey: str | None = None

    def question(self, journey: Journey | None) -> ReadinessQuery:
        """Return what to look at."""
        own = journey.purpose if journey else DEFAULT_PURPOSE
        named = {"journey": journey, "called": self.journey, "purpose": self.purpose or own}
        return ReadinessQuery.model_validate({**self.said(), **named})


Asked = (
    FunnelIn
    | PathsIn
    | MatrixIn
    | SwitchesIn
    | AttributionIn
    | ConformanceIn
    | FindingsIn
    | ReadinessIn
    | AskedPlaces
    | AskedOverTime
)

#: How each analysis is asked.
FORMS: dict[str, type[Asked]] = {
    **PLACES,
    **OVER_TIME,
    "funnel": FunnelIn,
    "time-to-convert": FunnelIn,
    "paths": PathsIn,
    "matrix": MatrixIn,
    "switches": SwitchesIn,
    "attribution": AttributionIn,
    "conformance": ConformanceIn,
    "findings": FindingsIn,
    "readiness": ReadinessIn,
}


def _said(asked: Asked) -> dict[str, Any]:
    return asked.model_dump(by_alias=True, exclude=ASIDE, exclude_unset=True)
