"""Whether the server lives, whether it can serve, and what a problem type means."""

from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from api.errors import ProblemTypeNotFound
from api.problems import STATUS, WITHOUT_CLASS, documented, slug, title
from api.resource import Resource

router = Resource(tags=["operations"])

READY = {
    "status": "ready",
    "database": "up",
    "backlog": 0,
    "worker_seconds": 2.1,
    "free_bytes": 51_000_000_000,
    "reasons": [],
}


@router.get("/healthz", summary="Say that the process lives")
def healthz() -> dict[str, str]:
    """Answer as long as the process can answer at all."""
    return {"status": "alive"}


@router.get(
    "/readyz",
    summary="Say whether requests can be served",
    responses={
        200: {
            "description": "`ready`, or `degraded`: served, but something is late.",
            "content": {"application/json": {"example": READY}},
        },
        503: {
            "description": "`unavailable`, with the reasons.",
            "content": {
                "application/json": {
                    "example": {
                        "status": "unavailable",
                        "database": "hangs",
                        "reasons": ["the database did not answer within 2 s"],
                    }
                }
            },
        },
    },
)
def readyz(request: Request) -> Response:
    """Answer within seconds, whatever hangs.

    503 when events cannot be stored: the database is away, hangs or takes no writes, the disk is
    nearly full, the writing thread has ended or is stuck. 200 with `degraded` when they can, but
    no worker runs, a segment is stuck, a saved analysis fails, a destination is in trouble
    (switched off by its receiver, an hour late, people not taken back) or the oldest waiting event
    is late. `reasons` names each.
    """
    state = request.app.state
    health = state.probe.examine(state.writer)
    body = {
        "status": health.status,
        "database": health.database,
        "backlog": health.backlog,
        "oldest_seconds": health.oldest_seconds,
        "worker_seconds": health.worker_seconds,
        "free_bytes": health.free_bytes,
        "reasons": health.faults + health.worries,
    }
    return JSONResponse(
        {key: value for key, value in body.items() if value is not None},
        status_code=503 if health.faults else 200,
        headers={"Cache-Control": "no-store"} | ({"Retry-After": "1"} if health.faults else {}),
    )


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
