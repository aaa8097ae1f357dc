"""What the KPIs of a journey are now: each figure, beside what it is to be."""

from typing import Any

from fastapi import Request
from pydantic import ValidationError

from api.auth import Caller, state_purpose
from api.deps import Configuration
from api.errors import InsufficientScope
from api.problems import documented, slug
from api.resource import Resource
from api.routes.analyses import AUTH, Reader, answer
from app.errors import (
    AnalysesBusy,
    AnalysisTooLarge,
    DefinitionInvalid,
    JourneyNotFound,
    LakeIncomplete,
    PurposeNotAllowed,
    SegmentNotFound,
)
from app.journeys import catalogue
from app.journeys.asked import FORMS
from app.journeys.figures import figure
from app.journeys.map_parts import Kpi
from consent.errors import PurposeNotFound

router = Resource(tags=["journeys"])

EXAMPLE: dict[str, Any] = {
    "id": "orders",
    "direction": "up",
    "target": 0.2,
    "value": 0.17,
    "reached": False,
    "query_id": "q_5f0c61b0b2a44f0ab5f5b7a1",
    "as_of": "2026-11-28T10:00:00+00:00",
    "error": None,
}
#: Why one KPI may have no figure while the others have.
UNANSWERED = (
    AnalysesBusy,
    AnalysisTooLarge,
    LakeIncomplete,
    DefinitionInvalid,
    JourneyNotFound,
    SegmentNotFound,
    PurposeNotAllowed,
    PurposeNotFound,
    InsufficientScope,
)


@router.get(
    "/v1/journeys/{key}/kpis",
    summary="What the KPIs of a journey are now",
    responses=documented(*AUTH, JourneyNotFound, PurposeNotAllowed, ok={"data": [EXAMPLE]}),
)
def read_kpis(
    request: Request, settings: Configuration, caller: Reader, key: str
) -> dict[str, Any]:
    """Answer the `query` of each KPI of the map (or of `key@2`) and return the figure `at` it.

    `reached` says whether it is at its `target` or beyond, as its `direction` has it; null without
    a target or a figure. A KPI whose query cannot be answered for this client says why in `error`,
    one without a query is measured elsewhere and has neither.
    """
    with request.app.state.sessions() as session:
        journey = catalogue.find(session, key)[1]
    state_purpose(caller, journey.purpose)
    return {"data": [_kpi(request, settings, caller, one) for one in journey.kpis]}


def _kpi(request: Request, settings: Configuration, caller: Caller, kpi: Kpi) -> dict[str, Any]:
    shown = kpi.model_dump(mode="json", exclude_none=True, exclude={"query"})
    found: dict[str, Any] = {
        "value": None, "reached": None, "query_id": None, "as_of": None, "error": None,
    }  # fmt: skip
    if kpi.query is None or kpi.at is None:
        return shown | found
    analysis = kpi.query.analysis
    if analysis not in FORMS:
        return shown | found | {"error": f"there is no analysis {analysis!r}"}
    try:
        wanted = FORMS[analysis].model_validate(kpi.query.request)
        said = answer(request, settings, caller, analysis, wanted)
    except ValidationError as error:
        return shown | found | {"error": f"the query is none: {error.errors()[0]['msg']}"}
    except UNANSWERED as error:
        return shown | found | {"error": f"{slug(type(error))}: {error}"}
    value = figure(said["result"], kpi.at)
    if value is None:
        return shown | found | {"error": f"there is no figure at {kpi.at}"}
    better = None if kpi.target is None else value - kpi.target
    return shown | {
        "value": value,
        "reached": None if better is None else (better if kpi.direction == "up" else -better) >= 0,
        "query_id": said["query_id"],
        "as_of": said["as_of"],
        "error": None,
    }
