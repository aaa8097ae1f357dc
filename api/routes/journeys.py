"""Journey definitions: the map that analyses compare events with."""

from typing import Annotated, Any

from fastapi import Body, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from api.resource import Resource
from app.errors import DefinitionInvalid, JourneyChanged, JourneyFrozen, JourneyNotFound
from app.journeys import catalogue, shelf
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


class Reference(BaseModel):
    """Which version becomes the reference, and who says so."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"version": 3, "by": "board of customer experience"}},
    )

    version: int = Field(ge=1, le=2**31 - 1)
    by: str = Field(min_length=1, max_length=200)


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


def out(
    version: JourneyVersion, response: Response | None = None, *, reference: int | None = None
) -> dict[str, Any]:
    """Return a version as the API shows it; the response's ETag is its `definition_hash`."""
    if response is not None:
        response.headers["ETag"] = f'"{version.definition_hash}"'
    return {
        **version.definition,
        "version": version.version,
        "reference": reference,
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
    responses=documented(*AUTH, PurposeNotFound, JourneyChanged, JourneyFrozen, DefinitionInvalid),
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
    fixed = shelf.references(session)
    return {
        "data": [
            out(version, reference=fixed.get(version.key))
            for version, _ in catalogue.list_all(session)
        ]
    }


@router.get(
    "/v1/journeys/{key}",
    summary="Read a journey definition",
    responses=documented(*AUTH, JourneyNotFound, DefinitionInvalid),
)
def read_journey(session: Db, caller: Reader, response: Response, key: str) -> dict[str, Any]:
    """Return the newest version of a journey, or the one that `key@2` or `key@reference` names.

    `reference` is the version that is frozen, if one is; `parts` are the journeys whose parent it
    is, with the stage that each is. `key@whole` has their touchpoints at its own stages, here and
    wherever a journey is asked for.
    """
    version = catalogue.named(session, key)[0]
    known = shelf.standing(session, version.key)
    shown = out(version, response, reference=None if known is None else known.reference)
    parts = [
        {"journey": one.key, "stage": one.parent.stage if one.parent else None}
        for one in catalogue.parts(session, version.key)
    ]
    return {**shown, "parts": parts}


@router.delete(
    "/v1/journeys/{key}",
    status_code=204,
    summary="Archive a journey",
    responses=documented(*AUTH, JourneyNotFound, JourneyFrozen),
)
def archive_journey(session: Db, caller: Writer, key: str) -> None:
    """Put a journey away: it is neither listed nor followed, and its deviations are taken back.

    Its versions stay, for the answers that name them (`key@2`). A version saved later takes it out
    again. One with a reference is refused until that is released.
    """
    catalogue.hold(session, key)
    shelf.put_away(session, catalogue.find(session, key)[0].key)


@router.put(
    "/v1/journeys/{key}/reference",
    summary="Freeze a version as the reference",
    responses=documented(*AUTH, JourneyNotFound, DefinitionInvalid),
)
def freeze_journey(session: Db, caller: Writer, key: str, body: Reference) -> dict[str, Any]:
    """Make a version the reference: until it is released nobody saves another one of its key.

    `key@reference` names it wherever a journey is asked for. A reference needs an objective, a
    scope, an owner and a KPI.
    """
    catalogue.hold(session, key)
    version, journey = catalogue.find(session, f"{key}@{body.version}")
    shelf.freeze(session, version.key, version.version, journey, by=body.by)
    return out(version, reference=version.version)


@router.delete(
    "/v1/journeys/{key}/reference",
    status_code=204,
    summary="Release the reference",
    responses=documented(*AUTH, JourneyNotFound),
)
def release_journey(session: Db, caller: Writer, key: str) -> None:
    """Let the journey be changed again; the version stays as it is, as every version does."""
    catalogue.hold(session, key)
    shelf.release(session, key)
