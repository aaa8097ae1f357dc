"""Refuses a request body that is too large before anybody gathers it in memory."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.request_body import declared
from app.errors import BodyTooLarge


class BodyLimit:
    """Counts the bytes of every request as they arrive, on whatever route and before any check.

    Without it a client without a token could send 200 MB to any route and the server held them
    (176 MB grew to 749 MB, measured). Tracking calls are counted by `api.request_body` instead,
    which knows what gzip unpacks to, and for whom a refusal counts.
    """

    def __init__(self, app: ASGIApp, largest: int) -> None:
        """Let at most `largest` bytes through to `app`."""
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if declared(Request(scope)) > self._largest:
            await self._refuse(scope, receive, send)
            return
        size, started = 0, False

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._largest:
                raise BodyTooLarge(f"more than {self._largest} bytes")
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            # What the framework makes of a body that was cut off here is not the answer.
            if size > self._largest and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except Exception:
            if size <= self._largest or started:
                raise
        if size > self._largest and not started:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = BodyTooLarge(f"more than {self._largest} bytes")
        await problems.answer(Request(scope), error)(scope, receive, send)
