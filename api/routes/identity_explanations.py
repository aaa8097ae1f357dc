"""Explanations of identity: why these two, why not these two, and as a picture."""

from typing import Annotated, Any

from fastapi import Query, Response

from api.auth import Caller, requires, state_purpose
from api.deps import Configuration, Db
from api.errors import InsufficientScope, InvalidToken
from api.languages import Chosen
from api.problems import documented
from api.resource import Resource
from api.routes.profiles import StatedHeader, StatedQuery, stated_once
from app.errors import ProfileNotFound, PurposeNotAllowed, PurposeRequired
from app.identities import explaining, merging
from identity import svg
from identity.errors import IdentifierInvalid, NothingCompared

router = Resource(prefix="/v1/identity", tags=["identity"])

Reader = Annotated[Caller, requires("identity:read")]
Side = Annotated[
    str, Query(description="A profile id, or namespace:value.", examples=["user_id:u-42"])
]
ERRORS = (InvalidToken, InsufficientScope, ProfileNotFound, IdentifierInvalid)


def optional_purpose(caller: Caller, query: str | None, header: str | None) -> str | None:
    """Return the purpose that a request states, if it states one; it must be the client's."""
    stated = stated_once(query, header)
    return None if stated is None else state_purpose(caller, stated)


@router.get(
    "/explain",
    summary="Explain why two are, or are not, one person",
    responses=documented(*ERRORS, PurposeRequired, PurposeNotAllowed),
)
def explain_two(
    session: Db,
    caller: Reader,
    configuration: Configuration,
    language: Chosen,
    left: Side,
    right: Side,
    purpose: StatedQuery = None,
    stated: StatedHeader = None,
) -> dict[str, Any]:
    """Return what joins two, or each thing that keeps them apart, and the weight of each field.

    The values of their records are shown for the purpose `profile.link`, and of who allows it.
    """
    return explaining.two(
        session,
        left,
        right,
        merge=merging.threshold(session, configuration),
        review=configuration.review_threshold,
        purpose=optional_purpose(caller, purpose, stated),
        language=language,
    )


@router.get(
    "/explain.svg",
    summary="Draw how two records were weighed",
    response_class=Response,
    responses={
        **documented(*ERRORS, NothingCompared),
        200: {"description": "The waterfall.", "content": {"image/svg+xml": {}}},
    },
)
def draw_two(
    session: Db,
    caller: Reader,
    configuration: Configuration,
    language: Chosen,
    left: Side,
    right: Side,
) -> Response:
    """Return the waterfall of two records as SVG: prior, one bar a field, household, and the sum.

    It shows degrees of agreement, and no value of any record.
    """
    fall = explaining.waterfall_of(
        session,
        left,
        right,
        merge=merging.threshold(session, configuration),
        review=configuration.review_threshold,
    )
    headers = {"Content-Language": language, "Vary": "Accept-Language"}
    return Response(svg.draw(fall, language), media_type="image/svg+xml", headers=headers)
