"""Questions about people over time, and what decides, as people ask them; pure."""

from pydantic import ConfigDict

from app.journeys.activity_request import LifecycleQuery, RetentionQuery, StickinessQuery
from app.journeys.anomaly_request import AnomaliesQuery
from app.journeys.asking import Asking
from app.journeys.definition import Journey
from app.journeys.drivers_request import DriversQuery
from app.journeys.next_purchase_request import NextPurchaseQuery
from app.journeys.prediction_request import PredictionQuery
from app.journeys.uplift_request import UpliftQuery


class RetentionIn(RetentionQuery, Asking):
    """Retention, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "start": {"event": "Order Completed"},
                "unit": "month",
                "intervals": 6,
                "zone": "Europe/Paris",
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> RetentionQuery:
        """Return what to count."""
        return RetentionQuery.model_validate(self.said())


class LifecycleIn(LifecycleQuery, Asking):
    """A lifecycle, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"activity": {"event": "Order Completed"}, "unit": "month"}}
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> LifecycleQuery:
        """Return what to count."""
        return LifecycleQuery.model_validate(self.said())


class StickinessIn(StickinessQuery, Asking):
    """Stickiness, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"activity": {"event": "Product Viewed"}, "unit": "day"}}
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> StickinessQuery:
        """Return what to count."""
        return StickinessQuery.model_validate(self.said())


class DriversIn(DriversQuery, Asking):
    """Drivers, and the purpose they serve."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "entry": {"event": "Product Viewed"},
                "outcome": {"event": "Order Completed"},
                "observe": "P7D",
                "window": "P30D",
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> DriversQuery:
        """Return what to test."""
        return DriversQuery.model_validate(self.said())


class PredictionIn(PredictionQuery, Asking):
    """A prediction, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "outcome": {"event": "Order Completed"},
                "predicts": "propensity",
                "horizon": "P30D",
                "lookback": "P90D",
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> PredictionQuery:
        """Return what to predict."""
        return PredictionQuery.model_validate(self.said())


class AnomaliesIn(AnomaliesQuery, Asking):
    """Anomalies, and the purpose they serve."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "match": {"event": "Order Completed"},
                "per": {"event": "Product Viewed"},
                "unit": "day",
                "zone": "Europe/Paris",
                "holidays": "FR",
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> AnomaliesQuery:
        """Return what to judge."""
        return AnomaliesQuery.model_validate(self.said())


class NextPurchaseIn(NextPurchaseQuery, Asking):
    """Next purchases, and the purpose they serve."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"purchase": {"event": "Order Completed"}, "horizon": "P90D"}}
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> NextPurchaseQuery:
        """Return what to foretell."""
        return NextPurchaseQuery.model_validate(self.said())


class UpliftIn(UpliftQuery, Asking):
    """Uplift of a treatment, and the purpose it serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "entry": {"event": "Campaign Assigned"},
                "treated": {"prop": "arm", "value": "e-mail"},
                "control": {"prop": "arm", "value": "none"},
                "outcome": {"event": "Order Completed"},
                "window": "P14D",
                "props": ["channel", "recency"],
                "randomised": True,
            }
        }
    )

    journey: str | None = None

    def question(self, journey: Journey | None) -> UpliftQuery:
        """Return what to learn."""
        return UpliftQuery.model_validate(self.said())


AskedOverTime = (
    RetentionIn
    | LifecycleIn
    | StickinessIn
    | DriversIn
    | PredictionIn
    | NextPurchaseIn
    | AnomaliesIn
    | UpliftIn
)

FORMS: dict[str, type[AskedOverTime]] = {
    "retention": RetentionIn,
    "lifecycle": LifecycleIn,
    "stickiness": StickinessIn,
    "drivers": DriversIn,
    "prediction": PredictionIn,
    "next-purchase": NextPurchaseIn,
    "anomalies": AnomaliesIn,
    "uplift": UpliftIn,
}
