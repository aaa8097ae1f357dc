"""A figure at a place of an answer's result; pure."""

from typing import Any


def figure(result: Any, at: str) -> float | None:
    """Return the number at a JSON Pointer (RFC 6901), None where there is no number."""
    found = result
    for part in at.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isascii() and name.isdigit() and len(name) < 10:
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found)
