"""One call as the address of an image, for e-mails and pages that run no scripts."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Query, Request, Security
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Message

from api import problems
from api.resource import Resource
from api.routes import collect
from app.db import unavailable
from app.errors import AppError, BodyUnreadable, DatabaseUnavailable, OverCapacity, StorageFull
from app.events.envelope import TYPES

router = Resource(tags=["tracking"])

#: A transparent GIF of one by one.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
#: A look at an image is no event: `look` answers it.
OWN_HEADS = ("/v1/pixel/",)
#: Where the answer counts an event that was not accepted and not rejected.
COUNTS = {"duplicate": "duplicates", "held": "held"}
#: Each view is an event: nobody may keep the image, neither browser nor proxy.
HEADERS = {"Cache-Control": "no-store, no-cache, must-revalidate, private", "Pragma": "no-cache"}
EXAMPLE = base64.b64encode(
    b'{"writeKey":"wk_...","userId":"u-42","event":"Email Opened","messageId":"m-7"}'
).decode()


@router.get(
    "/v1/pixel/{call}",
    summary="Send one call as an image",
    description="Answers a 1×1 GIF with status 200 whatever becomes of the event, because an "
    "image tag can do nothing about it. `Event-Outcome` says it: `accepted`, `duplicate`, "
    "`held`, or the code of the rejection. 503 when it could not be stored now. `.gif` may follow "
    "the name.",
    response_class=Response,
    dependencies=[Security(collect.write_key)],
    responses={
        200: {"description": "The image.", "content": {"image/gif": {}}},
        **problems.documented(OverCapacity, DatabaseUnavailable, StorageFull),
    },
)
async def pixel(
    call: str,
    request: Request,
    data: Annotated[
        str, Query(description="The message as base64 of JSON, `writeKey` included.")
    ] = "",
) -> Response:
    """Take the message like a POST of the same call."""
    kind = call.removesuffix(".gif")
    if kind not in TYPES:
        return _image("unknown_type")
    try:
        answer = await collect.receive(_posted(request, _decoded(data)), kind)
    except (OverCapacity, DatabaseUnavailable, StorageFull) as error:
        return _image(problems.slug(type(error)), status=503)
    except AppError as error:
        return _image(problems.slug(type(error)))
    except SQLAlchemyError as error:
        if unavailable(error) is None:
            raise
        return _image(problems.slug(DatabaseUnavailable), status=503)
    return _image(_outcome(json.loads(bytes(answer.body))))


@router.head("/v1/pixel/{call}", include_in_schema=False)
def look(call: str) -> Response:
    """Say that the image is there. Mail proxies ask before they fetch it: that is no event."""
    return _image("none")


def _decoded(data: str) -> bytes:
    """Decode base64, standard or URL-safe, with or without its padding."""
    text = data.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BodyUnreadable("data is not base64") from error


def _posted(request: Request, body: bytes) -> Request:
    """Return the request as if the message had been its body."""
    kept = [h for h in request.scope["headers"] if not h[0].startswith(b"content-")]

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "method": "POST", "headers": kept}, receive)


def _outcome(answer: dict[str, Any]) -> str:
    if answer["rejected"]:
        return str(answer["rejected"][0]["code"])
    return next((name for name in ("duplicate", "held") if answer[COUNTS[name]]), "accepted")


def _image(outcome: str, status: int = 200) -> Response:
    headers = {**HEADERS, "Event-Outcome": outcome}
    if status == 503:
        headers["Retry-After"] = "1"
    return Response(GIF, status, headers, media_type="image/gif")
