"""What lies deeper in a trait or property: `address.city`, `products[].sku`; no database."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Keys in one path.
MOST_KEYS = 10
_PART = re.compile(r"(?P<key>[^\[\]]+)(?P<each>(\[\])*)")


def split(path: str) -> tuple[str, str] | None:
    """Return the first key of a path and the rest as a jsonpath; None of what is one plain key.

    A key leads through a list into each of its elements; `[]` says so and is never needed, except
    at the end, where it asks for the elements and not for the list.
    """
    parts = [_PART.fullmatch(part) for part in path.split(".")]
    if len(parts) > MOST_KEYS or not all(parts) or parts[0] is None or parts[0]["key"] == path:
        return None
    keys = [(part["key"], "[*]" * (len(part["each"]) // 2)) for part in parts if part is not None]
    [(first, each), *rest] = keys
    return first, f"${each}" + "".join(f".{json.dumps(key)}{each}" for key, each in rest)


def look_up(holder: Mapping[str, Any], path: str) -> list[Any]:
    """Return what is at a path, no null among it; a key that is the whole path comes first."""
    if path in holder:
        return [holder[path]] if holder[path] is not None else []
    if split(path) is None:
        return []
    found: list[Any] = [holder]
    for part in path.split("."):
        key = part.rstrip("[]")
        found = [one[key] for one in _each(found) if isinstance(one, Mapping) and key in one]
        for _ in range(part.count("[]")):
            found = list(_each(found))
    return [one for one in found if one is not None]


def _each(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value
