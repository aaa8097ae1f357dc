"""Slashes inside a segment of a path: an id such as `user_id:a/b` is sent as `user_id:a%2Fb`.

ASGI decodes a path before anybody has looked for its route, and then the id would be two segments
(RFC 3986 §2.2: `%2F` is data, `/` divides). So what came encoded is another character until the
route is known.
"""

import re
from collections.abc import Awaitable
from typing import Annotated
from urllib.parse import quote, unquote

from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

#: Stands for an encoded slash: the last of the characters that no text may hold (Unicode, 23.7).
MARK = "\U0010ffff"
_ENCODED = re.compile(rb"%2f", re.IGNORECASE)


def decoded(value: str) -> str:
    """Return a parameter of a path as it was sent."""
    return value.replace(MARK, "/")


def shown(path: str) -> str:
    """Return a path as it was sent, to be shown."""
    return path.replace(MARK, "%2F")


#: A parameter of a path that may hold slashes.
WithSlashes = Annotated[str, AfterValidator(decoded)]


class EncodedSlashes:
    """Keeps encoded slashes apart from those that divide a path."""

    def __init__(self, app: ASGIApp) -> None:
        """Pass every request on to this."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a request on, by its path as it is to be matched."""
        raw: bytes = scope.get("raw_path") or b""
        if b"%2" in raw and _ENCODED.search(raw):
            scope["path"] = unquote(_ENCODED.sub(quote(MARK).encode(), raw).decode("ascii"))
        return self._app(scope, receive, send)
