"""The names of numbers: which people a figure of an answer opens to, as text; pure."""

import json
from typing import Any

from app.errors import BucketInvalid


def bucket(kind: str, *place: Any, many: bool = False) -> str:
    """Return the name of a number, such as `step:2`, `cell:["buy","web"]`.

    With `many` the place is a list of any length, of one too.
    """
    if not many and len(place) == 1 and (isinstance(place[0], int) or _plain(place[0])):
        return f"{kind}:{place[0]}"
    return f"{kind}:{json.dumps(list(place), ensure_ascii=False, separators=(',', ':'))}"


def parse(name: str) -> tuple[str, list[Any]]:
    """Return the kind of a number and its place; raises BucketInvalid for what is no name."""
    kind, colon, rest = name.partition(":")
    if not colon or not rest:
        raise BucketInvalid("take `bucket` from an answer as it is")
    if not rest.startswith("["):
        return kind, [int(rest) if rest.isascii() and rest.isdigit() else rest]
    try:
        place: list[Any] = json.loads(rest)
    except (ValueError, RecursionError) as error:
        raise BucketInvalid("take `bucket` from an answer as it is") from error
    if not place or not all(item is None or type(item) in (str, int) for item in place):
        raise BucketInvalid("take `bucket` from an answer as it is")
    return kind, place


def unknown(name: str, kinds: str) -> BucketInvalid:
    """Return the error of a name that parses and means nothing here."""
    return BucketInvalid(f"this answer has no number {name!r}; there are {kinds}")


def _plain(value: Any) -> bool:
    return isinstance(value, str) and not value.isdigit() and value[:1] not in ("", "[")
