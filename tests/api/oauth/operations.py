"""The operations of the product's own OpenAPI document, and a quick way to call many of them."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

#: Calls under way at once: their threads wait for the database in turns.
AT_ONCE = 8


@dataclass(frozen=True)
class Operation:
    """One operation: how it is called, and what its document says a token needs for it."""

    method: str
    path: str
    scopes: frozenset[str]
    #: Whether it answers for a purpose that the client must be registered for.
    purposes: bool
    #: The query that it must have at least, and whether a purpose may be stated in it.
    query: Mapping[str, str]
    by_query: bool
    #: The example of its body.
    example: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def address(self, **values: str) -> str:
        """Return its address, each parameter filled with the value given for it, or with `1`.

        A `space` of Segment's Profile API is a purpose.
        """
        known = {"space": "service.operation", **values}
        return re.sub(r"{(\w+)}", lambda found: known.get(found[1], "1"), self.path)


@dataclass(frozen=True)
class Reply:
    """What one call was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of its problem document; empty when it is none."""
        if self.headers.get("content-type") != "application/problem+json":
            return ""
        return str(json.loads(self.body)["code"])


@dataclass(frozen=True)
class Call:
    """One request."""

    operation: Operation
    headers: Mapping[str, str]
    address: str = ""
    body: Any = None


def taking_tokens(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield the operations that take an access token."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for way in operation.get("security", []):
                if "OAuth2" in way:
                    refusals = operation["responses"]["403"]["content"]["application/problem+json"]
                    purposes = "purpose-not-allowed" in refusals["examples"]
                    query = [p for p in operation.get("parameters", []) if p["in"] == "query"]
                    yield Operation(
                        method.upper(),
                        path,
                        frozenset(way["OAuth2"]),
                        purposes,
                        {p["name"]: _first_example(p) for p in query if p.get("required")},
                        any(p["name"] == "purpose" for p in query),
                        _body_example(operation, document),
                    )


def _first_example(described: Mapping[str, Any]) -> str:
    examples = described.get("examples") or described["schema"].get("examples") or ["x"]
    return str(examples[0])


def _body_example(operation: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    named = str(schema.get("$ref", "")).rpartition("/")[2]
    shape = document["components"]["schemas"].get(named, {})
    first = (schema.get("examples") or shape.get("examples") or [{}])[0]
    found = content.get("example") or shape.get("example") or first
    return dict(found)


def answers(app: FastAPI, calls: Sequence[Call]) -> list[Reply]:
    """Return what the application answers to each call, without a client in between."""

    async def run() -> list[Reply]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> Reply:
            async with gate:
                return await _ask(app, call)

        return await asyncio.gather(*(one(call) for call in calls))

    return asyncio.run(run())


async def _ask(app: FastAPI, call: Call) -> Reply:
    path, _, query = (call.address or call.operation.address()).partition("?")
    body = b"" if call.operation.method == "GET" else json.dumps(call.body or {}).encode()
    headers = {"content-type": "application/json", **call.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.operation.method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("parcours.test", 443),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    return Reply(
        start["status"],
        {k.decode(): v.decode() for k, v in start["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )
