"""Opaque cursors: where a page ended, in a form that nobody takes apart."""

import base64
import binascii
import json
from typing import Any

from app.errors import CursorInvalid


def encode(*parts: str | int) -> str:
    """Return a cursor that holds these parts."""
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the parts of a cursor; raises CursorInvalid unless they are of these kinds."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise CursorInvalid("take `next_cursor` from an answer as it is") from error
    fits = isinstance(parts, list) and [type(part) for part in parts] == list(kinds)
    if not fits or any(isinstance(part, int) and abs(part) >= 2**62 for part in parts):
        raise CursorInvalid("take `next_cursor` from an answer as it is")
    return tuple(parts)
