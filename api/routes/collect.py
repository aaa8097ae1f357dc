"""The tracking API that Segment-compatible SDKs speak (research/sdk-contract.md)."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBasic
from msgspec import Raw
from starlette.requests import HTTPConnection

from api import write_key as keys
from api.known_sources import Known
from api.problems import documented, slug
from api.request_body import TIMES, Held, read
from api.resource import Resource
from api.routes import calls
from app.access.door import Door
from app.errors import (
    AppError,
    BodyTooLarge,
    BodyTooSlow,
    BodyUnreadable,
    HeadTooLarge,
    OriginNotAllowed,
    OverCapacity,
    RateLimited,
    UnknownWriteKey,
)
from app.events import envelope, kept
from app.events.body import Body, parse
from app.events.envelope import Rejection
from app.events.item import Batch, Outcome
from app.events.message import with_address, with_gpc
from app.settings import Settings


class WriteKey(HTTPBasic):
    """Tells the OpenAPI document of the write key; `api.write_key` finds it, wherever it stands."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Leave the header alone: five other places are as good."""


router = Resource(tags=["tracking"])
write_key = WriteKey(
    scheme_name="WriteKey",
    description="A source's write key as user name, without a password. It may also stand in the "
    "body or the query as `writeKey`, in `X-Write-Key`, or as a bearer token.",
)

Handler = Callable[[Request], Awaitable[Response]]

#: What refuses a request whole and is counted for its source.
REFUSED = (BodyUnreadable, BodyTooLarge, OriginNotAllowed, RateLimited)
#: What refuses it before it is whole.
BY_THE_CONNECTION = (BodyTooSlow, HeadTooLarge)

EVENT = {
    "userId": "u-42",
    "anonymousId": "8f1c",
    "event": "Order Completed",
    "properties": {"order_id": "o-7", "revenue": 59.9, "currency": "EUR"},
    "context": {"consent": {"categoryPreferences": {"analytics.audience": True}}},
    "messageId": "a2f7c1d0",
    "timestamp": "2026-11-22T10:00:00Z",
    "writeKey": "wk_…",
}
ANSWER = {
    "success": True,
    "received": 1,
    "accepted": 1,
    "duplicates": 0,
    "held": 0,
    "rejected": [],
}


def _operation(example: dict[str, Any]) -> dict[str, Any]:
    return {
        "requestBody": {
            "required": True,
            "description": "JSON, whatever the Content-Type says; gzip with Content-Encoding.",
            "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
        },
    }


def _route(path: str, kind: str | None) -> Handler:
    """Declare the route of one path, and return its function."""

    async def collect(request: Request) -> Response:
        return await receive(request, kind)

    collect.__doc__ = (
        "Every event is stored durably before the answer, and at most once. One bad event never "
        "costs its neighbours: it is listed under `rejected` with its reason."
    )
    example = {**EVENT, "type": kind} if kind else {"batch": [{**EVENT, "type": "track"}]}
    router.add_api_route(
        path,
        collect,
        methods=["POST"],
        operation_id="send_" + path.rpartition("/")[2] if calls.documented(path) else None,
        summary=f"Send one {kind} call" if kind else "Send a batch of events",
        include_in_schema=calls.documented(path),
        dependencies=[Security(write_key)],
        openapi_extra=_operation(example),
        responses=documented(
            *REFUSED, *BY_THE_CONNECTION, UnknownWriteKey, OverCapacity, ok=ANSWER
        ),
    )
    return collect


#: What answers a POST to each path; `api.direct` calls it before the framework looks for the route.
HANDLERS = {path: _route(path, kind) for path, kind in calls.PATHS.items()}


@router.post("/v1/m", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Drop the browser SDK's own metrics, which it sends with the same key."""
    return JSONResponse({"success": True})


async def receive(request: Request, kind: str | None) -> Response:
    """Take one request: a call of this kind, or a batch for None; answer when it is durable."""
    received_at = datetime.now(UTC)
    state = request.app.state
    settings: Settings = state.settings
    known: Known | None = None
    events = 1
    with Held(state.budget) as held:
        try:
            packed = await read(request, settings.max_body_bytes, held)
            body = parse(packed, kind, held.unpack)
            places = keys.candidates(request, body.write_key)
            _, known = _, found = await state.sources.find_first(places)
            state.meter.used(found.key_id, received_at)
            if body.messages is None:
                raise BodyUnreadable("batch must be a list of messages")
            events = len(body.messages)
            found.door.admit(
                origin=request.headers.get("origin"),
                size=max(len(packed), body.size),
                events=events,
                now=time.monotonic(),
            )
            held.take(TIMES * body.size if body.shared else 0)
            # Only who asks for it has it looked up, and stored.
            address = state.callers.address(request) if b'"direct"' in packed else None
            gpc = private(request)
            batch = _read(found.door, body, kind, received_at, address, gpc=gpc)
        except REFUSED as error:
            # In no variable of this frame, which its traceback would hold in a circle.
            raise await _noted(request, known, error, events=events, body=held.body) from None
        outcomes = await state.writer.submit(batch)
        return Response(
            msgspec.json.encode(_answer(batch, outcomes)), media_type="application/json"
        )


async def _noted(
    request: Request, known: Known | None, error: AppError, *, events: int, body: bytes
) -> AppError:
    """Count a request that is refused whole, keep a piece of one that cannot be read.

    Return why it is refused: what cannot be read has still to pass the door of its source, or
    whoever knows a browser's key would fill what is kept. Nothing is done when it cannot be told
    whose it is.
    """
    state = request.app.state
    if known is None:  # the body was not read: the key may stand outside of it
        try:
            _, known = await state.sources.find_first(keys.candidates(request, None))
        except UnknownWriteKey:
            return error
    if isinstance(error, BodyUnreadable):
        try:
            known.door.admit(
                origin=request.headers.get("origin"), size=0, events=1, now=time.monotonic()
            )
        except (OriginNotAllowed, RateLimited) as refusal:
            error = refusal
    state.meter.refused(known.source.id, slug(type(error)), events)
    if isinstance(error, BodyUnreadable) and body:
        rejection = Rejection(kept.UNREADABLE, str(error), raw=body, gpc=private(request))
        await state.writer.submit(Batch(known.source, [rejection], datetime.now(UTC)))
    return error


def private(request: Request) -> bool:
    """Say whether the request carries Global Privacy Control: a header line that is exactly `1`.

    Of several lines one is enough, and so of several values that a proxy has joined by commas.
    """
    return any(
        value.strip(b" \t") == b"1"
        for name, line in request.scope["headers"]
        if name == b"sec-gpc"
        for value in line.split(b",")
    )


def _read(
    door: Door,
    body: Body,
    call: str | None,
    received_at: datetime,
    address: str | None,
    *,
    gpc: bool,
) -> Batch:
    """Read the messages of a request; of those beyond the limit only their ids.

    They are kept with all that the request says of them, too: what it refuses is refused when one
    is replayed.

    `address` is the sender's, for the messages that ask for it. `gpc`: it carries Global Privacy
    Control, which is written into each.
    """
    most, largest = door.most_events, door.largest_event

    def completed(message: Raw) -> Raw:
        message = body.completed(message)
        message = with_gpc(message) if gpc else message
        return with_address(message, address) if address else message

    messages = body.messages or []
    if len(messages) > door.far_too_many:
        raise BodyTooLarge(f"{len(messages)} events; a request has at most {most}")
    read = [
        envelope.read(
            completed(message),
            received_at=received_at,
            largest=largest,
            call=call,
            sent_at=body.sent_at,
        )
        for message in messages[:most]
    ]
    why = f"a request has at most {most} events"
    rest = [
        envelope.beyond(completed(message), why, call=call, sent_at=body.sent_at)
        for message in messages[most:]
    ]
    entries = [*read, *rest] if rest else read
    if gpc:
        entries = [replace(e, gpc=True) if isinstance(e, Rejection) else e for e in entries]
    return Batch(door.source, entries, received_at)


def _answer(batch: Batch, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Say what became of each event: accepted, duplicates, held and rejected are all received."""
    counts = Counter(outcome.state for outcome in outcomes)
    rejected = []
    if counts["rejected"]:
        rejected = [
            {
                "index": index,
                "message_id": batch.entries[index].message_id,
                "code": outcome.code,
                "message": outcome.message,
            }
            for index, outcome in enumerate(outcomes)
            if outcome.state == "rejected"
        ]
    return {
        "success": True,
        "received": len(outcomes),
        "accepted": counts["accepted"],
        "duplicates": counts["duplicate"],
        "held": counts["held"],
        "rejected": rejected,
    }
