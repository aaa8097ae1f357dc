"""Whether the server lives, whether it can serve, and what a problem type means."""

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from api.errors import ProblemTypeNotFound
from api.problems import STATUS, WITHOUT_CLASS, documented, slug, title
from app.events import stream

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Say that the process lives")
def healthz() -> dict[str, str]:
    """Answer as long as the process can answer at all."""
    return {"status": "alive"}


@router.get("/readyz", summary="Say whether requests can be served")
def readyz(request: Request) -> Response:
    """Answer 200 when the database answers, else 503; `backlog` is what the worker has to do."""
    try:
        with request.app.state.sessions() as session:
            backlog = stream.backlog(session, "pipeline").events
    except sa.exc.SQLAlchemyError:
        return JSONResponse({"status": "unavailable", "database": "down"}, status_code=503)
    return JSONResponse({"status": "ready", "database": "up", "backlog": backlog})


@router.get(
    "/problems/{name}", summary="Explain a problem type", responses=documented(ProblemTypeNotFound)
)
def read_problem(name: str) -> dict[str, Any]:
    """Return what a problem type means (RFC 9457 section 3.1.1)."""
    known = {slug(kind): (status, title(kind)) for kind, status in STATUS.items()} | WITHOUT_CLASS
    if name in known:
        status, heading = known[name]
        return {"type": f"/problems/{name}", "title": heading, "status": int(status)}
    raise ProblemTypeNotFound(name)
