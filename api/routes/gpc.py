"""Global Privacy Control: that this server honours it, and what a visitor may be shown of it."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from api.resource import Resource
from api.routes.collect import private
from consent.signals.stamp import UNIVERSAL

router = Resource(tags=["tracking"])

#: Since when the signal counts as is described here (GPC specification, "lastUpdate").
SINCE = "2026-11-28"


@router.get(
    "/.well-known/gpc.json",
    summary="Say that Global Privacy Control is honoured",
    responses={200: {"content": {"application/json": {"example": {"gpc": True}}}}},
)
def support() -> dict[str, Any]:
    """Return the support resource of the GPC specification."""
    return {"gpc": True, "lastUpdate": SINCE}


@router.get("/v1/opt-out", summary="Tell a page whether its visitor is opted out by signal")
def status(request: Request) -> Response:
    """Say whether this browser sends Global Privacy Control, and what it is opted out of by it.

    For the page to display (11 CCR 7025(c)(6)). It is about the request alone and names nobody: a
    page cannot ask for anybody else. `GET /v1/consents/decision` says what is on record.
    """
    said = private(request)
    return JSONResponse(
        {
            "gpc": said,
            "status": "opted_out" if said else "no_signal",
            "purposes": sorted(UNIVERSAL) if said else [],
        },
        headers={"Cache-Control": "no-store", "Vary": "Sec-GPC"},
    )
