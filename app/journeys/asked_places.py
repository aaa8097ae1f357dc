"""Questions about places of a journey and groups of people, as people ask them; pure."""

from pydantic import ConfigDict

from app.journeys.asking import Asking
from app.journeys.compare_request import CompareQuery
from app.journeys.definition import Journey
from app.journeys.friction_request import (
    DropOffChoices,
    DropOffQuery,
    FrictionChoices,
    FrictionQuery,
    VoiceChoices,
    VoiceQuery,
)
from app.journeys.moments_request import MomentsChoices, MomentsQuery


class FrictionIn(FrictionChoices, Asking):
    """Friction in a saved journey."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"journey": "retail-purchase", "failure": {"event": "Payment Failed"}}
        }
    )

    journey: str

    def question(self, journey: Journey | None) -> FrictionQuery:
        """Return the scores to compute."""
        return FrictionQuery.model_validate({**self.said(), "journey": journey})


class DropOffIn(DropOffChoices, Asking):
    """Where people leave a saved journey."""

    model_config = ConfigDict(json_schema_extra={"example": {"journey": "retail-purchase"}})

    journey: str

    def question(self, journey: Journey | None) -> DropOffQuery:
        """Return what to count."""
        return DropOffQuery.model_validate({**self.said(), "journey": journey})


class VoiceIn(VoiceChoices, Asking):
    """What customers say along a saved journey."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "journey": "retail-purchase",
                "surveys": [
                    {"instrument": "nps", "match": {"event": "Survey Answered"}, "prop": "score"}
                ],
            }
        }
    )

    journey: str

    def question(self, journey: Journey | None) -> VoiceQuery:
        """Return what to join."""
        return VoiceQuery.model_validate({**self.said(), "journey": journey})


class MomentsIn(MomentsChoices, Asking):
    """Moments of truth of a saved journey."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "journey": "retail-purchase",
                "readings": [
                    {
                        "good": {"event": "Call Ended", "prop": "solved", "value": True},
                        "bad": {"event": "Call Ended", "prop": "solved", "value": False},
                    }
                ],
                "window": "P30D",
            }
        }
    )

    journey: str

    def question(self, journey: Journey | None) -> MomentsQuery:
        """Return what to test."""
        return MomentsQuery.model_validate({**self.said(), "journey": journey})


class CompareIn(CompareQuery, Asking):
    """A comparison, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "entry": {"event": "Product Viewed"},
                "variants": [
                    {"name": "French", "trait": "country", "value": "FR"},
                    {"name": "others", "rest": True},
                ],
                "outcomes": [
                    {"name": "bought", "match": {"event": "Order Completed"}, "window": "P7D"}
                ],
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> CompareQuery:
        """Return what to compare."""
        return CompareQuery.model_validate(self.said())


AskedPlaces = FrictionIn | DropOffIn | VoiceIn | MomentsIn | CompareIn

FORMS: dict[str, type[AskedPlaces]] = {
    "friction": FrictionIn,
    "drop-off": DropOffIn,
    "voice": VoiceIn,
    "moments-of-truth": MomentsIn,
    "compare": CompareIn,
}
