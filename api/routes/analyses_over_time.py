"""Analyses of people over time, and of what decides: who comes back, and what separates them."""

from typing import Any

from fastapi import Request

from api.deps import Configuration
from api.problems import documented
from api.resource import Resource
from api.routes.analyses import ERRORS, Reader, answer
from app.journeys.asked_over_time import (
    AnomaliesIn,
    DriversIn,
    LifecycleIn,
    NextPurchaseIn,
    PredictionIn,
    RetentionIn,
    StickinessIn,
    UpliftIn,
)

router = Resource(prefix="/v1/analyses", tags=["journeys"])


@router.post("/retention", summary="Compute how many come back", responses=documented(*ERRORS))
def compute_retention(
    request: Request, settings: Configuration, caller: Reader, wanted: RetentionIn
) -> dict[str, Any]:
    """Count, of those who start in an interval, who comes back in each one after it.

    An interval that is not over is marked, and in no mean.
    """
    return answer(request, settings, caller, "retention", wanted)


@router.post(
    "/lifecycle",
    summary="Compute who is new, returning, back or dormant",
    responses=documented(*ERRORS),
)
def compute_lifecycle(
    request: Request, settings: Configuration, caller: Reader, wanted: LifecycleIn
) -> dict[str, Any]:
    """Split the active people of each interval into new, returning and resurrecting.

    Dormant are those of the interval before who are not active, as a negative number.
    """
    return answer(request, settings, caller, "lifecycle", wanted)


@router.post(
    "/stickiness",
    summary="Compute in how many intervals people are active",
    responses=documented(*ERRORS),
)
def compute_stickiness(
    request: Request, settings: Configuration, caller: Reader, wanted: StickinessIn
) -> dict[str, Any]:
    """Count people by the number of days, weeks or months in which they are active."""
    return answer(request, settings, caller, "stickiness", wanted)


@router.post(
    "/drivers",
    summary="Test what separates those who come to an outcome",
    responses=documented(*ERRORS),
)
def compute_drivers(
    request: Request, settings: Configuration, caller: Reader, wanted: DriversIn
) -> dict[str, Any]:
    """Test events and properties before an outcome, each with intervals and a q-value.

    Everybody is watched for equally long. It says what goes together, not what causes what.
    """
    return answer(request, settings, caller, "drivers", wanted)


@router.post(
    "/prediction",
    summary="Predict who will do something, or stay away",
    responses=documented(*ERRORS),
)
def compute_prediction(
    request: Request, settings: Configuration, caller: Reader, wanted: PredictionIn
) -> dict[str, Any]:
    """Score everybody who allows the purpose, by a model that was judged on a later time.

    Learnt from, and scored, are only those who allow it. `refused` says why there are no scores.
    """
    return answer(request, settings, caller, "prediction", wanted)


@router.post(
    "/next-purchase",
    summary="Foretell who is still a customer, and what they buy",
    responses=documented(*ERRORS),
)
def compute_next_purchase(
    request: Request, settings: Configuration, caller: Reader, wanted: NextPurchaseIn
) -> dict[str, Any]:
    """Fit the BG/NBD model of repeat purchases to everybody who allows the purpose.

    It is judged by the horizon that is over before it foretells the next one; `refused` says why
    it does not. People behind a band come with their own figures.
    """
    return answer(request, settings, caller, "next-purchase", wanted)


@router.post(
    "/anomalies",
    summary="Find when a number is not what it was to be",
    responses=documented(*ERRORS),
)
def compute_anomalies(
    request: Request, settings: Configuration, caller: Reader, wanted: AnomaliesIn
) -> dict[str, Any]:
    """Hold each day or week against those before it, and find when the level changed.

    `back_test` says how many alerts the same rules raise a year, and how many by chance.
    """
    return answer(request, settings, caller, "anomalies", wanted)


@router.post(
    "/uplift",
    summary="Find whom a treatment changes",
    responses=documented(*ERRORS),
)
def compute_uplift(
    request: Request, settings: Configuration, caller: Reader, wanted: UpliftIn
) -> dict[str, Any]:
    """Say what a treatment that was drawn by lot changes, and rank people by how much it does.

    Each is scored by models that have not seen them, and the ranking is judged by Qini's
    coefficient beside that of a ranking by lot. `refused` says why nobody is ranked.
    """
    return answer(request, settings, caller, "uplift", wanted)
