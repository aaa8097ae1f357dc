"""Journey definitions: the map that analyses compare events with."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from app.errors import JourneyNotFound
from app.journeys import catalogue
from app.journeys.definition import Journey
from app.journeys.tables import JourneyVersion
from consent.errors import PurposeNotFound

router = APIRouter(tags=["journeys"])

Reader = Annotated[Caller, requires("journeys:read")]
Writer = Annotated[Caller, requires("journeys:write")]
AUTH = (InvalidToken, InsufficientScope)

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
    "target": {
        "nodes": ["product-page", {"touchpoint": "online-order", "channels": ["shop"]}],
        "edges": [{"from": "product-page", "to": "online-order", "max_delay": "P7D"}],
    },
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
