"""Gives every request an id, and every unforeseen error an answer that says nothing inside."""

import asyncio
import logging
import random

import sqlalchemy as sa
from pydantic_core import PydanticSerializationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.errors import ValueUnstorable
from app.db import unavailable
from app.errors import DatabaseUnavailable, OverCapacity

log = logging.getLogger("parcours.api")


class Frame:
    """The outermost layer that knows what an answer is.

    Plain ASGI: `@server.middleware("http")` does the same with a task group and two streams for
    each request, which costs more than reading 20 events.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Answer for `app` when it cannot."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; answer what it leaves unanswered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # An id is no secret. uuid4 asks the system for each, and the writer's thread gets the
        # interpreter meanwhile: that took 60 µs of a busy server's requests.
        request_id = f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        header = (b"request-id", request_id.encode())
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except ClientDisconnect:
            log.debug("request %s: its client left", request_id)
        except asyncio.CancelledError:  # the server stops, and waits no longer for this request
            if not started:
                stops = problems.answer(Request(scope), OverCapacity("the server stops"))
                await stops(scope, receive, marked)
            raise
        except Exception as error:
            if started:
                raise  # half an answer is on its way: the connection must end
            answer = _answer(Request(scope), error)
            problems.let_go(error)
            await answer(scope, receive, marked)


def _answer(request: Request, error: Exception) -> Response:
    request_id = request.state.request_id
    why = unavailable(error)
    if why is not None:
        log.error("request %s: %s", request_id, why)
        return problems.answer(request, DatabaseUnavailable(why))
    if isinstance(error, sa.exc.DataError | UnicodeEncodeError | PydanticSerializationError):
        return problems.answer(request, ValueUnstorable("NUL, surrogate or out of range"))
    log.error("request %s failed: %s", request_id, type(error).__name__)
    log.debug("request %s", request_id, exc_info=error)
    return problems.unexpected(request)
