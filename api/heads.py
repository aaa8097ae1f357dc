"""HEAD, which every path that answers GET takes (RFC 9110 §9.1): monitors and `curl -I` ask so."""

from collections.abc import Awaitable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send


class Heads:
    """Passes HEAD on as GET; the server leaves out the body, as it does of any HEAD.

    FastAPI answers 405 to it, by which a monitor takes a product that runs for one that is down.
    """

    def __init__(self, app: ASGIApp, *, own: Sequence[str]) -> None:
        """Leave HEAD to those whose paths begin so: what a GET does there, a look must not do."""
        self._app = app
        self._own = tuple(own)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on."""
        if scope.get("method") == "HEAD" and not scope["path"].startswith(self._own):
            scope = {**scope, "method": "GET"}
        return self._app(scope, receive, send)
