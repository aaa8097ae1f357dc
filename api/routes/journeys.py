"""Journey definitions: the map that analyses compare events with."""

from typing import Annotated, Any

from fastapi import Body, Header, Response

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.errors import JourneyChanged, JourneyNotFound
from app.journeys import catalogue
from app.journeys.definition import Journey
from app.journeys.tables import JourneyVersion
from consent.errors import PurposeNotFound

router = Resource(tags=["journeys"])

Reader = Annotated[Caller, requires("journeys:read")]
Writer = Annotated[Caller, requires("journeys:write")]
AUTH = (InvalidToken, InsufficientScope)
IfMatch = Annotated[
    str | None, Header(description="The ETag that was read: nothing is done if it changed since.")
]

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


def out(version: JourneyVersion, response: Response | None = None) -> dict[str, Any]:
    """Return a version as the API shows it; the response's ETag is its `definition_hash`."""
    if response is not None:
        response.headers["ETag"] = f'"{version.definition_hash}"'
    return {
        **version.definition,
        "version": version.version,
        "definition_hash": version.definition_hash,
        "created_at": version.created_at.isoformat(),
    }


def read_before(if_match: str | None) -> str | None:
    """Return the `definition_hash` that a conditional request was made of (RFC 9110 §13.1.1)."""
    tag = (if_match or "*").strip()
    return None if tag == "*" else tag.removeprefix("W/").strip('"')


@router.post(
    "/v1/journeys",
    status_code=201,
    summary="Save a journey definition",
    responses=documented(*AUTH, PurposeNotFound, JourneyChanged),
)
def save_journey(
    session: Db,
    caller: Writer,
    response: Response,
    journey: Annotated[Journey, Body(examples=[EXAMPLE])],
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Save a definition as the next version of its key; one that is equal changes nothing.

    With the ETag of the version that was read in `If-Match`, the second of two editors is refused
    and told what the first one changed.
    """
    version = catalogue.save(session, journey, read=read_before(if_match))
    session.refresh(version)
    return out(version, response)


@router.get("/v1/journeys", summary="List journey definitions", responses=documented(*AUTH))
def list_journeys(session: Db, caller: Reader) -> dict[str, Any]:
    """Return the newest version of every journey."""
    return {"data": [out(version) for version, _ in catalogue.list_all(session)]}


@router.get(
    "/v1/journeys/{key}",
    summary="Read a journey definition",
    responses=documented(*AUTH, JourneyNotFound),
)
def read_journey(session: Db, caller: Reader, response: Response, key: str) -> dict[str, Any]:
    """Return the newest version of a journey, or the one that `key@2` names."""
    return out(catalogue.find(session, key)[0], response)
