"""The analyses of people over time, and of what decides and what will be."""

from app.journeys import anomalies, drivers, lifecycle, prediction, retention
from app.journeys.activity_request import LifecycleQuery, RetentionQuery, StickinessQuery
from app.journeys.anomaly_request import AnomaliesQuery
from app.journeys.drivers_request import DriversQuery
from app.journeys.kind import Kind
from app.journeys.prediction_request import PredictionQuery

KINDS: dict[str, Kind] = {
    "retention": Kind(
        RetentionQuery,
        lambda c, r, at: retention.retention(c, r, as_of=at),
        lambda c, r, at, number: retention.people(c, r, as_of=at, number=number),
    ),
    "lifecycle": Kind(
        LifecycleQuery,
        lambda c, r, at: lifecycle.lifecycle(c, r, as_of=at),
        lambda c, r, at, number: lifecycle.people(c, r, as_of=at, number=number),
    ),
    "stickiness": Kind(
        StickinessQuery,
        lambda c, r, at: lifecycle.stickiness(c, r, as_of=at),
        lambda c, r, at, number: lifecycle.sticking(c, r, as_of=at, number=number),
    ),
    "drivers": Kind(
        DriversQuery,
        lambda c, r, at: drivers.drivers(c, r, as_of=at),
        lambda c, r, at, number: drivers.people(c, r, as_of=at, number=number),
    ),
    "prediction": Kind(
        PredictionQuery,
        lambda c, r, at: prediction.prediction(c, r, as_of=at),
        lambda c, r, at, number: prediction.people(c, r, as_of=at, number=number),
        about=prediction.about,
    ),
    "anomalies": Kind(
        AnomaliesQuery,
        lambda c, r, at: anomalies.anomalies(c, r, as_of=at),
        lambda c, r, at, number: anomalies.people(c, r, as_of=at, number=number),
    ),
}
