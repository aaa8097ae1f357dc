"""Messages that say twice what they say of consent: of two answers the last is not the answer.

JSON leaves open what a member means that stands twice in an object (RFC 8259 §4), and every reader
here would hear the last alone. So such a message is taken for one that cannot be understood: it
refuses every purpose, as a malformed signal does.
"""

import json
import re
from typing import Any

import msgspec
from msgspec import Raw

from consent.signals.read import BESIDE

CONTEXT = "context"
#: Members of a context that speak of consent.
NAMES = frozenset({"consent", *BESIDE})
#: What stands in the place of what was said twice; no reader takes a list for a consent.
TWICE = ["said twice"]

#: A letter of a name, or `_`, that is written as an escape.
_ESCAPED = re.compile(rb"\\u00(?:[46][1-9a-fA-F]|[57][0-9aA]|5[fF])")


class _Pairs(list[tuple[str, Any]]):
    """The members of an object as they stand there."""


def marked(message: Raw) -> Raw:
    """Return a message whose consent cannot be understood if it says it twice; mostly as it is."""
    text = bytes(message)
    if not may(text):
        return message
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return message  # whoever reads it says so
    if not isinstance(pairs, _Pairs) or not _twice(pairs):
        return message
    members = msgspec.json.decode(text)
    own = members.get(CONTEXT)
    members[CONTEXT] = {**(own if isinstance(own, dict) else {}), "consent": TWICE}
    return Raw(msgspec.json.encode(members))


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, for `json.loads`, in which what was said twice of consent is marked."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        if any(names.count(name) > 1 for name in found.keys() & NAMES):
            found["consent"] = TWICE
        if names.count(CONTEXT) > 1:
            own = found[CONTEXT]
            found[CONTEXT] = {**(own if isinstance(own, dict) else {}), "consent": TWICE}
    return found


def may(text: bytes) -> bool:
    """Say whether a text may say anything of consent twice."""
    if b"\\" in text and b"\\u00" in text and _ESCAPED.search(text):
        return True
    context = text.find(b'"context"')
    if context < 0:
        return False
    if context != text.rfind(b'"context"'):
        return True
    if text.count(b'"consent', context) > 1 or text.count(b'"us_', context) > 1:
        return True
    # What stands behind is not cut out: that takes as long as one of these counts.
    return text.find(b'"g', context) >= 0 and (
        text.count(b'"gp', context) > 1 or text.count(b'"gdpr_', context) > 1
    )


def _twice(pairs: _Pairs) -> bool:
    contexts = [value for name, value in pairs if name == CONTEXT]
    if len(contexts) > 1:
        return True
    own = contexts[0] if contexts and isinstance(contexts[0], _Pairs) else ()
    names = [name for name, _ in own if name in NAMES]
    return len(names) > len(set(names))
