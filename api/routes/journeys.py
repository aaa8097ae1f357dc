"""Journeys: definitions (the map) and the analyses computed over resolved people."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Caller, requires, state_purpose
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from app.errors import JourneyNotFound, PurposeNotAllowed
from app.journeys import catalogue
from app.journeys.definition import Journey
from app.journeys.funnel_request import FunnelRequest, TimeRange
from app.journeys.tables import JourneyVersion
from consent.errors import PurposeNotFound

router = APIRouter(tags=["journeys"])

Reader = Annotated[Caller, requires("journeys:read")]
Writer = Annotated[Caller, requires("journeys:write")]
AUTH = (InvalidToken, InsufficientScope)

#: What an analysis is for when it does not say otherwise.
DEFAULT_PURPOSE = "analytics.audience"


EXAMPLE = {
    "key": "retail-purchase",
    "name": "From the first look to the order",
    "purpose": "analytics.audience",
    "stages": [{"id": "consider", "order": 1}, {"id": "buy", "order": 2}],
    "channels": [{"id": "web"}, {"id": "shop", "family": "face to face"}],
    "touchpoints": [
        {
            "id": "product-page",
            "stage": "consider",
            "channel": "web",
            "match": {"event": "Product Viewed"},
        },
        {
            "id": "till",
            "stage": "buy",
            "channel": "shop",
            "match": {
                "event": "Order Completed",
                "prop": "channel",
                "op": "eq",
                "value": "shop",
            },
        },
        {
            "id": "online-order",
            "stage": "buy",
            "channel": "web",
            "match": {"event": "Order Completed"},
        },
    ],
}


def _out(version: JourneyVersion) -> dict[str, Any]:
    return {
        **version.definition,
        "version": version.version,
        "definition_hash": version.definition_hash,
        "created_at": version.created_at.isoformat(),
    }


@router.post(
    "/v1/journeys",
    status_code=201,
    summary="Save a journey definition",
    responses=documented(*AUTH, PurposeNotFound),
)
def save_journey(
    session: Db, caller: Writer, journey: Annotated[Journey, Body(examples=[EXAMPLE])]
) -> dict[str, Any]:
    """Save a definition as the next version of its key; one that is equal changes nothing."""
    version = catalogue.save(session, journey)
    session.refresh(version)
    return _out(version)


@router.get("/v1/journeys", summary="List journey definitions", responses=documented(*AUTH))
def list_journeys(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the newest version of every journey."""
    return {"data": [_out(version) for version, _ in catalogue.list_all(session)]}


@router.get(
    "/v1/journeys/{key}",
    summary="Read a journey definition",
    responses=documented(*AUTH, JourneyNotFound),
)
def read_journey(session: Db, caller: Reader, key: str) -> dict[str, Any]:
    """Return the newest version of a journey."""
    return _out(catalogue.find(session, key)[0])


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


@router.post(
    "/v1/analyses/funnel",
    summary="Compute a funnel",
    responses=documented(*AUTH, PurposeNotAllowed, PurposeNotFound, JourneyNotFound),
)
def compute_funnel(
    request: Request, settings: Configuration, caller: Reader, wanted: FunnelIn
) -> dict[str, Any]:
    """Count how far people come through ordered steps; every choice is echoed in `semantics`."""
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
    plain = FunnelRequest.model_validate(
        wanted.model_dump(by_alias=True, exclude={"journey", "purpose"}, exclude_unset=True)
    )
    return analyses.funnel(request.app.state.sessions, settings.lake_dir, plain, purpose=purpose)


class MatrixIn(BaseModel):
    """A matrix of a saved journey."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"journey": "retail-purchase"}}
    )

    journey: str
    purpose: str | None = Field(default=None, max_length=100)
    range: TimeRange = TimeRange()
    as_of: AwareDatetime | None = None


@router.post(
    "/v1/analyses/matrix",
    summary="Compute a journey's stage x channel matrix",
    responses=documented(*AUTH, PurposeNotAllowed, PurposeNotFound, JourneyNotFound),
)
def compute_matrix(
    request: Request, settings: Configuration, caller: Reader, wanted: MatrixIn
) -> dict[str, Any]:
    """Compute every cell from the events, with what the map had planned beside it.

    Totals of rows and columns are distinct people, so they are not the sums of their cells.
    """
    from app.journeys import analyses  # noqa: PLC0415  # DuckDB and Arrow: 45 MB, loaded if asked

    with request.app.state.sessions() as session:
        purpose = _purpose(session, caller, wanted.purpose, wanted.journey)
        _, journey = catalogue.find(session, wanted.journey)
    return analyses.matrix(
        request.app.state.sessions,
        settings.lake_dir,
        journey,
        range=wanted.range,
        as_of=wanted.as_of,
        purpose=purpose,
    )


def _purpose(session: Session, caller: Caller, stated: str | None, journey: str | None) -> str:
    """Return the purpose of an analysis: as stated, or the journey's own, or audience analytics."""
    if stated is None and journey is not None:
        stated = catalogue.find(session, journey)[1].purpose
    return state_purpose(caller, stated or DEFAULT_PURPOSE)
