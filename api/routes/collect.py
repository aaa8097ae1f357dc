"""The tracking API that Segment-compatible SDKs speak (research/sdk-contract.md)."""

import asyncio
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBasic
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from api import write_key as keys
from api.problems import documented
from api.routes import calls
from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.errors import BodyTooLarge, BodyUnreadable, OverCapacity, UnknownWriteKey
from app.events import envelope
from app.events.append import keep_rejections
from app.events.envelope import Envelope, Rejection
from app.events.item import Item, Outcome
from app.settings import Settings


class WriteKey(HTTPBasic):
    """Tells the OpenAPI document of the write key; `api.write_key` finds it, wherever it stands."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Leave the header alone: five other places are as good."""


router = APIRouter(tags=["tracking"])
write_key = WriteKey(
    scheme_name="WriteKey",
    description="A source's write key as user name, without a password. It may also stand in the "
    "body or the query as `writeKey`, in `X-Write-Key`, or as a bearer token.",
)

#: How long a source is remembered, in seconds: so long may a rotated key go on working.
SOURCE_SECONDS = 2.0

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
    settings: Settings = request.app.state.settings
    body = envelope.parse(await _body(request, settings.max_body_bytes))
    source = await request.app.state.sources.find(keys.find(request, body))
    raw = envelope.messages(body, kind)
    read = [
        envelope.read(message, received_at=received_at, largest=settings.max_event_bytes)
        if number < settings.max_batch_events
        else Rejection("too_many", f"a request has at most {settings.max_batch_events} events")
        for number, message in enumerate(raw)
    ]
    # The place in the request, in microseconds, keeps the sender's order among equal times.
    items = [
        Item(source, e, received_at + timedelta(microseconds=place))
        for place, e in enumerate(read)
        if isinstance(e, Envelope)
    ]
    outcomes = await _write(request, items)
    refused = [e for e in read if isinstance(e, Rejection)]
    if refused:
        await run_in_threadpool(_keep, request.app.state.sessions, source, refused, received_at)
    return JSONResponse(_answer(read, outcomes))


async def _write(request: Request, items: Sequence[Item]) -> list[Outcome]:
    if not items:
        return []
    written: list[Outcome] = await asyncio.wrap_future(request.app.state.writer.submit(items))
    return written


def _keep(
    sessions: Sessions, source: SourceSettings, refused: Sequence[Rejection], at: datetime
) -> None:
    with sessions.begin() as session:
        keep_rejections(session, source, refused, at)


def _answer(read: Sequence[Envelope | Rejection], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Say what became of each event. `accepted` + `duplicates` + rejected = `received`."""
    waiting = iter(outcomes)
    counts = {"accepted": 0, "duplicate": 0}
    rejected = []
    for index, entry in enumerate(read):
        if isinstance(entry, Rejection):
            code, why = entry.code, entry.message
        else:
            outcome = next(waiting)
            if outcome.state in counts:
                counts[outcome.state] += 1
                continue
            code, why = outcome.code, outcome.message
        rejected.append(
            {"index": index, "message_id": entry.message_id, "code": code, "message": why}
        )
    return {
        "success": True,
        "received": len(read),
        "accepted": counts["accepted"],
        "duplicates": counts["duplicate"],
        "rejected": rejected,
    }


async def _body(request: Request, largest: int) -> bytes:
    """Read the body, unpacked, never holding more of it than `largest` bytes."""
    chunks, size = [], 0
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip"):
        raise BodyUnreadable(f"Content-Encoding {coding[:40]!r} is not understood; gzip is")
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise BodyTooLarge(f"more than {largest} bytes")
        chunks.append(chunk)
    body = b"".join(chunks)
    return _unzip(body, largest) if coding == "gzip" else body


def _unzip(body: bytes, largest: int) -> bytes:
    """Unpack gzip, stopping at the limit: 200 KB can hold 200 MB."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        out = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise BodyUnreadable("the body is not gzip, although Content-Encoding says so") from error
    if len(out) > largest:
        raise BodyTooLarge(f"more than {largest} bytes unpacked")
    if not unpacker.eof:
        raise BodyUnreadable("the gzip body is cut short")
    return out
