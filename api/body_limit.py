"""Refuses a request body that is too large before anybody gathers it in memory."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems, request_body
from api.request_body import Budget, Held, declared, next_part, values_in
from app.errors import AppError, BodyTooLarge

#: What the values of one body may take: 4.5 MB of `[],[],…` would become 200 MB.
MOST_VALUES_BYTES = 32 * 1024 * 1024


class BodyLimit:
    """Counts the bytes of every request as they arrive, on whatever route and before any check.

    Without it a client without a token could send 200 MB to any route and the server held them
    (176 MB grew to 749 MB, measured). Together, too, bodies take no more than `budget`, with what
    becomes of them: they are read and parsed before anybody looks at the token. Tracking calls are
    counted by `api.request_body` instead, which knows what gzip unpacks to, and for whom a refusal
    counts.
    """

    def __init__(self, app: ASGIApp, largest: int, budget: Budget) -> None:
        """Let at most `largest` bytes through to `app`, and of all together what `budget` holds."""
        self._app = app
        self._largest = largest
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413, 408 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if declared(Request(scope)) > self._largest:
            await _refuse(_too_large(self._largest), scope, receive, send)
            return
        with Held(self._budget) as held:
            body = _Body(receive, self._largest, held)
            started = False

            async def noted(message: Message) -> None:
                nonlocal started
                # What the framework makes of a body that was cut off here is not the answer.
                if body.refused is None or started:
                    started = True
                    await send(message)

            try:
                await self._app(scope, body.receive, noted)
            except Exception:
                if body.refused is None or started:
                    raise
            if body.refused is not None and not started:
                await _refuse(body.refused, scope, receive, send)


class _Body:
    """The body of one request on its way in; `refused` is why no more of it is let through."""

    def __init__(self, receive: Receive, largest: int, held: Held) -> None:
        self._receive, self._largest, self._held = receive, largest, held
        self._until = asyncio.get_running_loop().time() + request_body.LONGEST_SECONDS
        self._size = self._values = 0
        self._whole = False
        self.refused: AppError | None = None

    async def receive(self) -> Message:
        try:
            message = await next_part(self._receive, None if self._whole else self._until)
            self._count(message.get("body", b""))
            if not self._whole and not message.get("more_body", False):
                self._whole = True
                self._held.take(self._values)
        except AppError as error:
            self.refused = error
            raise
        return message

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        self._values += values_in(part)
        if self._size > self._largest:
            raise _too_large(self._largest)
        if self._values > MOST_VALUES_BYTES:
            raise BodyTooLarge("too many values in one request")
        self._held.take(2 * len(part))  # as it came, and joined to the rest


def _too_large(largest: int) -> BodyTooLarge:
    return BodyTooLarge(f"more than {largest} bytes")


async def _refuse(error: AppError, scope: Scope, receive: Receive, send: Send) -> None:
    await problems.answer(Request(scope), error)(scope, receive, send)
