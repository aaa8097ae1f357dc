"""Where SDKs put a source's write key."""

import base64
import binascii
from collections.abc import Iterator

from starlette.requests import Request

from app.errors import UnknownWriteKey


def candidates(request: Request, in_body: str | None) -> list[str]:
    """Return what may be the write key of a request, the likeliest first.

    It stands in one of six places (research/sdk-contract.md rule 3): as Basic user name, as
    `writeKey` in the body or the query, in `X-Write-Key`, or as bearer token, where Segment's OAuth
    puts a token beside the `writeKey` of the body. Several may be filled: a browser adds the
    site's own Basic login to calls of a page behind one. Raises UnknownWriteKey when none is.
    """
    # Jitsu sends `key:secret`, and `key:***` in the body.
    filled = (place.partition(":")[0] for place in _places(request, in_body) if place)
    keys = [key for key in dict.fromkeys(filled) if key]
    if not keys:
        raise UnknownWriteKey("send the write key as Basic user name or as writeKey in the body")
    return keys


def _places(request: Request, in_body: str | None) -> Iterator[str | None]:
    scheme, _, value = request.headers.get("authorization", "").strip().partition(" ")
    scheme, value = scheme.lower(), value.strip()
    if scheme == "basic":
        yield basic_user(value)
    yield in_body
    yield request.query_params.get("writeKey")
    yield request.headers.get("x-write-key")
    if scheme == "bearer":
        yield value


def basic_user(value: str) -> str | None:
    """Return the user name of Basic credentials, or None when they are malformed."""
    try:
        value = value.rstrip("=")
        return (
            base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
            .decode()
            .partition(":")[0]
        )
    except (binascii.Error, ValueError):
        return None
