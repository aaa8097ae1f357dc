"""Where SDKs put a source's write key."""

import base64
import binascii
from collections.abc import Iterator

from starlette.requests import Request

from app.errors import UnknownWriteKey


def find(request: Request, in_body: str | None) -> str:
    """Return the write key of a request.

    It stands in one of six places (research/sdk-contract.md rule 3): as Basic user name, as
    `writeKey` in the body or the query, in `X-Write-Key`, or as bearer token, where Segment's OAuth
    puts a token beside the `writeKey` of the body. Raises UnknownWriteKey when there is none.
    """
    for candidate in _candidates(request, in_body):
        if candidate:
            # Jitsu sends `key:secret`, and `key:***` in the body.
            return candidate.partition(":")[0]
    raise UnknownWriteKey("send the write key as Basic user name or as writeKey in the body")


def _candidates(request: Request, in_body: str | None) -> Iterator[str | None]:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    scheme = scheme.lower()
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
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return None
