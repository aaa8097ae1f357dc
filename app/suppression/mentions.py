"""Finds the identifiers that a text may name, whatever form it has: no database, no settings."""

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from identity import identifiers

#: Of a text that is no JSON, what may be a value.
_TOKEN = re.compile(r"[^\s\"'\\,;{}\[\]()<>&=?]+")
#: What is longer is no identifier.
_LONGEST = identifiers.LONGEST


def named(text: str, namespaces: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield, in canonical form, what of a text may be an identifier of one of these namespaces."""
    for scalar in scalars(text):
        for namespace in namespaces:
            value = identifiers.normalise(namespace, scalar)
            if value is not None:
                yield namespace, value


def scalars(text: str) -> Iterator[str]:
    """Yield the strings and numbers of a JSON text, or the words of any other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        yield from (word[:_LONGEST] for word in _TOKEN.findall(text))
        return
    yield from _leaves(found)


def _leaves(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.keys()
            pending += one.values()
        elif isinstance(one, list):
            pending += one
        elif isinstance(one, str):
            if len(one) <= _LONGEST:
                yield one
        elif isinstance(one, int | float) and not isinstance(one, bool):
            yield str(one)
