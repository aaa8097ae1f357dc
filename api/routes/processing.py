"""The record of processing activities."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api.auth import Caller, requires
from api.deps import Db
from api.errors import InsufficientScope, InvalidToken
from api.problems import documented
from app.accountability import markdown
from app.accountability.processing import record_of_processing

router = APIRouter(tags=["privacy"])
PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The record.",
        "content": {
            "application/json": {"example": {"controller": None, "activities": [], "gaps": []}},
            "text/markdown": {"example": "# Record of processing activities\n"},
        },
    }
}


@router.get(
    "/v1/record-of-processing",
    summary="Get the record of processing activities",
    response_model=None,
    responses={**documented(InvalidToken, InsufficientScope), **PAGE},
)
def get_record(
    session: Db,
    caller: Annotated[Caller, requires("privacy:read")],
    form: Annotated[Literal["json", "markdown"], Query(alias="format")] = "json",
    people: Annotated[
        bool, Query(description="Count the people whom each purpose in use allows and denies.")
    ] = True,
) -> dict[str, Any] | Response:
    """Return the record (GDPR art. 30) as it is now: what is declared and what really flows.

    It names nobody but the controller's own. `gaps` says what is missing.
    """
    record = record_of_processing(session, at=datetime.now(UTC), people=people)
    if form == "json":
        return record
    return Response(markdown.page(record), media_type="text/markdown; charset=utf-8")
