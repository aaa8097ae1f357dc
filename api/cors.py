"""Lets pages of any origin call the tracking routes, and those only."""

import re
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY = (b"access-control-allow-origin", b"*")
#: Sent with every answer. Without the first an SDK takes a stored event for lost and sends it for
#: ever; without the second it cannot read for how long to wait (research/sdk-contract.md 7, 9).
ALWAYS = [
    ANY,
    (b"access-control-expose-headers", b"Retry-After, Request-Id, Event-Outcome"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]
#: What the SDKs in the field add. `*` would not cover Authorization (Fetch standard, 4.10).
HEADERS = "authorization, content-type, x-retry-count, anonymousid, sentat, x-write-key"
TOKENS = re.compile(r"[\w!#$%&'*+.^`|~, \t-]{1,2000}", re.ASCII)


class TrackingCors:
    """Answers preflights of the tracking routes and marks their answers, errors included.

    All origins are welcome, because nobody can list the sites that carry a source's snippet, and
    none is sent credentials: a page learns only what became of its own events. The rest of the API
    gets no such header, so that no page can read it with a token it found. A path that nobody
    serves gets it too: its 404 tells a developer more than a network error.
    """

    def __init__(
        self, app: ASGIApp, *, paths: Iterable[str], also: Collection[tuple[str, str]] = ()
    ) -> None:
        """Open `paths` (with `{parameters}`) wholly, and `also` for one method each."""
        self._app = app
        paths = list(paths)
        self._exact = frozenset(path for path in paths if "{" not in path)
        self._prefixes = tuple(path.partition("{")[0] for path in paths if "{" in path)
        self._also = frozenset(also)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and mark the answer; answer a preflight at once."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        open_ = scope["path"] in self._exact or self._tidied(scope)
        if scope["method"] == "OPTIONS":
            asked = Headers(scope=scope)
            wanted = asked.get("access-control-request-method", "")
            if open_ or (wanted, scope["path"]) in self._also:
                await _preflight(asked.get("access-control-request-headers", ""), send)
                return
        open_ = open_ or (scope["method"], scope["path"]) in self._also

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and (
                open_ or (message["status"] == 404 and "endpoint" not in scope)
            ):
                message = {**message, "headers": [*message["headers"], *ALWAYS]}
            await send(message)

        await self._app(scope, receive, marked)

    def _tidied(self, scope: Scope) -> bool:
        """Return whether it is an open path but for doubled or trailing slashes; drops those.

        They come of a host that was configured with a slash at its end. A redirect would cost a
        second preflight, and behind a proxy with TLS it would lead to plain HTTP.
        """
        path = "/" + "/".join(part for part in scope["path"].split("/") if part)
        found = path in self._exact or path.startswith(self._prefixes)
        if found:
            scope["path"] = path
        return found


async def _preflight(wanted: str, send: Send) -> None:
    """Allow what SDKs send, and what else this one asks for: a retry adds headers of its own."""
    known = HEADERS.split(", ")
    more = wanted.lower().split(",") if TOKENS.fullmatch(wanted) else []
    names = dict.fromkeys([*known, *(name.strip() for name in more if name.strip())])
    headers = [
        ANY,
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-headers", ", ".join(names).encode()),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
