"""Canonical JSON (RFC 8785), of what entries of the ledger are made of: no fractions."""

import json
from typing import Any

#: Beyond this an integer is not the same number in every language (RFC 7493 section 2.2).
LARGEST_INTEGER = 2**53 - 1


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value, in UTF-8 (RFC 8785 section 3.2).

    Python writes strings as RFC 8785 wants them, and sorts keys by code points where that sorts
    by UTF-16 units. Raises ValueError for fractions, integers beyond 2^53 and lone surrogates:
    entries hold such numbers as text.
    """
    return json.dumps(_sorted(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _sorted(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _sorted(value[key]) for key in _in_order(value)}
    raise ValueError(f"{type(value).__name__} has no canonical JSON here")


def _in_order(keys: dict[str, Any]) -> list[str]:
    return sorted(keys, key=None if all(map(str.isascii, keys)) else _units)


def _units(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")
