"""Conditional reads: who has the answer already is told so, and is not sent it again (RFC 9110)."""

import hashlib
from typing import Annotated, Any

from fastapi import Header
from starlette.responses import JSONResponse, Response

#: For `responses` of a route that answers so.
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The answer is still the one whose `ETag` was sent in `If-None-Match`."}
}


class Conditional:
    """Answers with an entity tag, or with 304 where the caller sent that very tag.

    The tag is of the answer itself: whatever changes what may be seen, a trait, a merge or a
    consent, changes it, and nothing else does. So a 304 tells no more than the answer would.
    """

    def __init__(
        self,
        if_none_match: Annotated[
            str | None, Header(description="`ETag` of an earlier answer to the same question.")
        ] = None,
    ) -> None:
        """Take what FastAPI provides: this class is itself a dependency."""
        known = (if_none_match or "").split(",")
        self._known = {tag.strip().removeprefix("W/") for tag in known}

    def answer(self, body: dict[str, Any]) -> Response:
        """Return the answer, or 304 (RFC 9110 §13.1.2) without one."""
        full = JSONResponse(body)
        tag = f'"{hashlib.blake2b(full.body, digest_size=16).hexdigest()}"'
        headers = {
            "ETag": tag,
            "Cache-Control": "private, no-cache",  # to be kept by nobody but who asked
            "Vary": "Authorization, Purpose",
        }
        if tag in self._known or "*" in self._known:
            return Response(status_code=304, headers=headers)
        full.headers.update(headers)
        return full
