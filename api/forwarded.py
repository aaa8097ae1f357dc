"""What a reverse proxy says of the request that it passes on."""

import re
from ipaddress import ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.settings import Settings

HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII)


class Forwarded:
    """Believes the X-Forwarded-Proto, -For and -Host of trusted proxies, and of nobody else."""

    def __init__(self, app: ASGIApp, trusted: str) -> None:
        """`trusted` are the proxies' addresses and networks, separated by commas."""
        self._app = app
        self._inner = ProxyHeadersMiddleware(app, trusted)  # type: ignore[arg-type]  # same ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as the proxy received it."""
        if scope["type"] == "http" and scope.get("client"):
            if scope["client"][0] in self._inner.trusted_hosts:
                scope["headers"] = _with_forwarded_host(scope["headers"])
        await self._inner(scope, receive, send)  # type: ignore[arg-type]  # same ASGI


class Callers:
    """Says from which address a request came that did not pass `Forwarded`."""

    def __init__(self, trusted: str) -> None:
        """`trusted` as in Forwarded."""
        self._trusted = ProxyHeadersMiddleware(_nobody, trusted).trusted_hosts

    def address(self, request: Request) -> str | None:
        """Return the caller's address: the first before the proxies that are believed."""
        if request.client is None:
            return None
        host = request.client.host
        passed = ", ".join(request.headers.getlist("x-forwarded-for"))
        if passed and host in self._trusted:
            host = self._trusted.get_trusted_client_address(passed)[0]
        try:
            return str(ip_address(host))
        except ValueError:
            return None


async def _nobody(scope: object, receive: object, send: object) -> None:
    """Answer nothing: only the list of proxies is asked for."""


def _with_forwarded_host(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"x-forwarded-host":
            rest = [header for header in headers if header[0] != b"host"]
            # Each proxy appends to the list: the first is what the client asked for.
            return [*rest, (b"host", value.split(b",")[0].strip())]
    return headers


def public_address(request: Request, settings: Settings) -> tuple[str, str]:
    """Return the scheme and the rest of the address under which the caller reaches this server.

    It is PARCOURS_PUBLIC_URL where the operator set that. Otherwise it is what the caller asked
    for, so that a server that nobody has configured still leads browsers to itself.
    """
    host = request.headers.get("host", "")
    if settings.public_url_from_host and HOST.fullmatch(host):
        return request.url.scheme, host
    scheme, _, rest = settings.public_url.rstrip("/").partition("://")
    return scheme, rest
