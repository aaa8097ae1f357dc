"""No client makes the server hold more than the limit, with or without a token."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import request_body
from api.body_limit import BodyLimit
from api.deps import turn
from api.main import RESOURCES
from api.oauth_server import form_body
from api.request_body import Budget, Held, read, whole
from api.routes import oauth
from api.routes.consents import sender
from app.errors import BodyTooSlow
from app.settings import Settings

PATHS = ["/v1/segments", "/v1/batch", "/v1/analyses/funnel", "/oauth/token", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_says_it_is_too_large_is_refused_unread(
    server: TestClient, settings: Settings, path: str
) -> None:
    answer = server.post(path, content=b"x" * (settings.max_body_bytes + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "body-too-large"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS[:-1])
def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(
    server: TestClient, settings: Settings, path: str
) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        while sent < settings.max_body_bytes * 3:
            sent += 100_000
            yield b" " * 100_000

    answer = server.post(path, content=chunks())
    assert answer.status_code in (401, 413)
    assert answer.json()["code"] in ("invalid-token", "body-too-large", "invalid_client")


def test_a_body_at_the_limit_is_read(
    server: TestClient, settings: Settings, write_key: str
) -> None:
    start = b'{"writeKey":"' + write_key.encode() + b'","batch":['
    body = start + b" " * (settings.max_body_bytes - len(start) - 2) + b"]}"
    answer = server.post("/v1/batch", content=body)
    assert answer.status_code == 200
    assert answer.json()["received"] == 0


@dataclass
class Slow:
    """A server that gathers whole bodies, and clients that send theirs half and then wait."""

    limit: ASGIApp

    async def send(self, body: bytes, rest: asyncio.Event | None = None) -> int:
        """Send a body, the last byte only when `rest` says so; return the status."""
        parts = [body[:-1], body[-1:]]
        status = 0

        async def receive() -> Message:
            if len(parts) == 1 and rest is not None:
                await rest.wait()
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b"",
                 "state": {"request_id": "r"}}  # fmt: skip
        await self.limit(scope, receive, send)
        return status


async def _gathers(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_bodies_that_come_slowly_take_no_more_together_than_there_is_for_all() -> None:
    async def run() -> list[int]:
        slow = Slow(BodyLimit(_gathers, 1_000_000, Budget(4_000_000)))
        rest = asyncio.Event()
        first = [asyncio.create_task(slow.send(b" " * 1_000_000, rest)) for _ in range(2)]
        await asyncio.sleep(0)
        found = [await slow.send(b" " * 1_000_000), await slow.send(b"{}")]
        rest.set()
        found += await asyncio.gather(*first)
        found.append(await slow.send(b" " * 1_000_000))
        return [*found, await slow.send(b"[]," * 300_000)]

    assert asyncio.run(run()) == [503, 200, 200, 200, 200, 413]


def test_a_body_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "LONGEST_SECONDS", 0.01)
    slow = Slow(BodyLimit(_gathers, 1_000, Budget(2_000)))
    assert asyncio.run(slow.send(b" " * 900, asyncio.Event())) == 408


def test_a_tracking_body_that_does_not_end_is_given_up_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five of 1 MB, of anybody, left no room for others as long as they liked."""
    monkeypatch.setattr(request_body, "LONGEST_SECONDS", 0.01)
    budget = Budget(2_000)

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with Held(budget) as held:
                await read(Request(scope, receive), 1_000, held)
        except BodyTooSlow:
            await send({"type": "http.response.start", "status": 408, "headers": []})

    assert asyncio.run(Slow(reads).send(b" " * 900, asyncio.Event())) == 408
    budget.take(2_000, 0)


def test_what_may_come_slowly_is_read_before_a_request_has_a_transaction() -> None:
    """Sixteen have one at once: so many unfinished forms, without a token, stopped all others."""

    def order(of: Dependant) -> Iterator[object]:
        for part in of.dependencies:
            yield from order(part)
            yield part.call

    waited = 0
    for route in (one for module in (*RESOURCES, oauth) for one in module.router.routes):
        calls = [*order(route.dependant)] if isinstance(route, APIRoute) else []
        slow = [calls.index(one) for one in (form_body, whole, sender) if one in calls]
        waited += turn in calls and bool(slow)
        assert turn not in calls or max(slow, default=-1) < calls.index(turn), route
    assert waited >= 5
