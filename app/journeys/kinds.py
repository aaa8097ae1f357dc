"""The analyses there are: what each is asked, what it answers, who is behind a number of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import duckdb
from pydantic import BaseModel

from app.journeys import (
    anomalies,
    attribution,
    compare,
    conformance,
    contributors,
    drivers,
    drop_off,
    findings,
    friction,
    funnel,
    lifecycle,
    matrix,
    moments_of_truth,
    next_purchase,
    paths,
    prediction,
    readiness,
    retention,
    switches,
    uplift,
    voice,
)
from app.journeys.activity_request import LifecycleQuery, RetentionQuery, StickinessQuery
from app.journeys.anomaly_request import AnomaliesQuery
from app.journeys.attributes import Attribute
from app.journeys.attribution_request import AttributionQuery
from app.journeys.compare_request import CompareQuery
from app.journeys.compare_request import caveats as compare_caveats
from app.journeys.conformance_request import ConformanceQuery
from app.journeys.drivers_request import DriversQuery
from app.journeys.findings_request import FindingsQuery
from app.journeys.friction_request import DropOffQuery, FrictionQuery, VoiceQuery
from app.journeys.funnel_answer import caveats
from app.journeys.funnel_request import FunnelRequest
from app.journeys.matrix_request import MatrixQuery
from app.journeys.moments_request import MomentsQuery
from app.journeys.next_purchase_request import NextPurchaseQuery
from app.journeys.paths_request import PathsRequest
from app.journeys.prediction_request import PredictionQuery
from app.journeys.readiness_request import ReadinessQuery
from app.journeys.switches_request import SwitchesQuery
from app.journeys.time_to_convert import time_to_convert
from app.journeys.uplift_request import UpliftQuery

Connection = duckdb.DuckDBPyConnection


class Compute(Protocol):
    """Answers a question over the view `event`."""

    def __call__(self, connection: Connection, query: Any, /, *, as_of: datetime) -> BaseModel:
        """Return the answer as of a time."""
        ...


class Behind(Protocol):
    """Finds who is behind a number of the answer."""

    def __call__(
        self, connection: Connection, query: Any, /, *, as_of: datetime, number: str
    ) -> list[int]:
        """Return the people, ascending; raises BucketInvalid."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One analysis."""

    request: type[BaseModel]
    compute: Compute
    behind: Behind
    caveats: Callable[[Any], list[str]] = lambda _: []
    #: Names in a saved journey may be of events that are still to come.
    spelling: bool = True
    #: What it needs to know of people beside their events.
    attributes: Callable[[Any], Collection[Attribute]] = lambda _: ()
    #: What it says of each person, beside that they are behind a number.
    about: (
        Callable[[Connection, Any, datetime, Sequence[int]], dict[int, dict[str, Any]]] | None
    ) = None


def _of_journey(request: type[BaseModel], compute: Compute, behind: Behind) -> Kind:
    return Kind(request, compute, behind, spelling=False)


def _of_funnel(compute: Compute) -> Kind:
    return Kind(FunnelRequest, compute, funnel.behind, caveats, attributes=funnel.attributes)


KINDS: dict[str, Kind] = {
    "funnel": _of_funnel(funnel.funnel),
    "time-to-convert": _of_funnel(time_to_convert),
    "paths": Kind(PathsRequest, paths.paths, paths.people),
    "attribution": Kind(AttributionQuery, attribution.attribution, attribution.people),
    "matrix": _of_journey(
        MatrixQuery,
        lambda c, r, /, *, as_of: matrix.matrix(
            c, r.journey, as_of=as_of, range=r.range, surveys=r.surveys, friction=r.friction
        ),
        matrix.people,
    ),
    "switches": _of_journey(SwitchesQuery, switches.switches, switches.people),
    "conformance": _of_journey(ConformanceQuery, conformance.conformance, conformance.people),
    "friction": _of_journey(FrictionQuery, friction.friction, friction.people),
    "drop-off": _of_journey(DropOffQuery, drop_off.drop_off, drop_off.people),
    "voice": _of_journey(VoiceQuery, voice.voice, voice.people),
    "moments-of-truth": _of_journey(
        MomentsQuery, moments_of_truth.moments_of_truth, moments_of_truth.people
    ),
    "compare": Kind(
        CompareQuery,
        compare.compare,
        compare.people,
        compare_caveats,
        attributes=compare.attributes,
    ),
    "retention": Kind(RetentionQuery, retention.retention, retention.people),
    "lifecycle": Kind(LifecycleQuery, lifecycle.lifecycle, lifecycle.people),
    "stickiness": Kind(StickinessQuery, lifecycle.stickiness, lifecycle.sticking),
    "drivers": Kind(DriversQuery, drivers.drivers, drivers.people),
    "prediction": Kind(
        PredictionQuery, prediction.prediction, prediction.people, about=prediction.about
    ),
    "next-purchase": Kind(
        NextPurchaseQuery,
        next_purchase.next_purchase,
        next_purchase.people,
        about=lambda c, r, at, named: next_purchase.about(c, r, at, list(named)),
    ),
    "uplift": Kind(UpliftQuery, uplift.uplift, uplift.people),
    "anomalies": Kind(
        AnomaliesQuery,
        anomalies.anomalies,
        anomalies.people,
        attributes=contributors.attributes,
    ),
    "readiness": Kind(
        ReadinessQuery,
        readiness.readiness,
        readiness.people,
        spelling=False,
        attributes=readiness.attributes,
    ),
    "findings": Kind(FindingsQuery, findings.findings, findings.people),
}
