"""The tracking API that Segment-compatible SDKs speak (research/sdk-contract.md)."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from api import write_key as keys
from api.problems import documented
from api.request_body import Held, read
from api.routes import calls
from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.errors import BodyTooLarge, BodyUnreadable, OverCapacity, UnknownWriteKey
from app.events import envelope, kept
from app.events.envelope import Rejection
from app.events.item import Batch, Outcome
from app.settings import Settings


class WriteKey(HTTPBasic):
    """Tells the OpenAPI document of the write key; `api.write_key` finds it, wherever it stands."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Leave the header alone: five other places are as good."""


class Direct(APIRoute):
    """A route whose function takes the request as it is, without FastAPI's work on parameters."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        return self.endpoint


router = APIRouter(tags=["tracking"], route_class=Direct)
write_key = WriteKey(
    scheme_name="WriteKey",
    description="A source's write key as user name, without a password. It may also stand in the "
    "body or the query as `writeKey`, in `X-Write-Key`, or as a bearer token.",
)

#: How long a source is remembered, in seconds: so long may a rotated key go on working.
SOURCE_SECONDS = 2.0
#: A request with so many times the events it may have is refused whole: nobody reads a list of
#: a million rejections.
FAR_TOO_MANY = 4

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


class Sources:
    """Remembers which source a write key belongs to, for a moment."""

    def __init__(self, sessions: Sessions) -> None:
        """Look keys up in this database."""
        self._sessions = sessions
        self._known: dict[str, tuple[float, SourceSettings]] = {}

    async def find(self, key: str) -> SourceSettings:
        """Return the source of a write key; raises UnknownWriteKey."""
        known = self._known.get(key)
        if known and known[0] > time.monotonic():
            return known[1]
        found = await run_in_threadpool(self._look_up, key)
        if found is None:
            self._known.pop(key, None)
            raise UnknownWriteKey("the write key is missing or unknown")
        self._known[key] = (time.monotonic() + SOURCE_SECONDS, found)
        return found

    def _look_up(self, key: str) -> SourceSettings | None:
        with self._sessions() as session:
            return sources.find_by_key(session, key)


def _route(path: str, kind: str | None) -> None:
    """Declare the route of one path."""

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
            BodyUnreadable, UnknownWriteKey, BodyTooLarge, OverCapacity, ok=ANSWER
        ),
    )


for _path, _kind in calls.PATHS.items():
    _route(_path, _kind)


@router.post("/v1/m", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Drop the browser SDK's own metrics, which it sends with the same key."""
    return JSONResponse({"success": True})


async def receive(request: Request, kind: str | None) -> Response:
    """Take one request: a call of this kind, or a batch for None; answer when it is durable."""
    received_at = datetime.now(UTC)
    state = request.app.state
    settings: Settings = state.settings
    with Held(state.budget) as held:
        try:
            body = envelope.parse(await read(request, settings.max_body_bytes, held))
            source: SourceSettings = await state.sources.find(keys.find(request, body))
            batch = _read(source, body, kind, received_at, settings)
        except BodyUnreadable as error:
            await _keep_unreadable(request, held.body, error, received_at)
            raise
        outcomes = await state.writer.submit(batch)
        return Response(
            msgspec.json.encode(_answer(batch, outcomes)), media_type="application/json"
        )


async def _keep_unreadable(
    request: Request, body: bytes, error: BodyUnreadable, received_at: datetime
) -> None:
    """Keep a piece of a request that cannot be read, if it can be told whose it is without it."""
    if not body:
        return
    try:
        source = await request.app.state.sources.find(keys.find(request, {}))
    except UnknownWriteKey:
        return
    rejection = Rejection(kept.UNREADABLE, str(error), raw=body)
    await request.app.state.writer.submit(Batch(source, [rejection], received_at))


def _read(
    source: SourceSettings,
    body: dict[str, Any],
    kind: str | None,
    received_at: datetime,
    settings: Settings,
) -> Batch:
    """Read the messages of a request; beyond the limit they are not even looked at."""
    messages = envelope.messages(body, kind)
    most = settings.max_batch_events
    if len(messages) > FAR_TOO_MANY * most:
        raise BodyTooLarge(f"{len(messages)} events; a request has at most {most}")
    largest = settings.max_event_bytes
    read = [
        envelope.read(message, received_at=received_at, largest=largest)
        for message in messages[:most]
    ]
    why = f"a request has at most {most} events"
    rest = [Rejection("too_many", why, raw=message) for message in messages[most:]]
    return Batch(source, [*read, *rest] if rest else read, received_at)


def _answer(batch: Batch, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Say what became of each event. `accepted` + `duplicates` + rejected = `received`."""
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
        "rejected": rejected,
    }
