"""Texts that are JSON, and that Python does not read: too many levels, or digits of one number.

An event of such a text costs only itself. So what no reader could follow is cut out of its levels,
of which enough stay that it is refused for them; and a number stays the digits that it is until
its event is refused.
"""

import re

from msgspec import Raw

#: Levels that stay of a request: two are its own, and an event of the others has too many.
LEVELS = 200
#: Of a body of more objects and lists nothing is cut: a short one would take long.
MOST_CONTAINERS = 20_000
#: Digits of a whole number that Python reads (`sys.int_info.default_max_str_digits`).
DIGITS = 4_300

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
#: What stands before a bracket that is in no string, and that bracket.
_to_bracket = re.compile(rb'(?:[^"\[\]{}]++|%b)*+([\[\]{}])' % _STRING, re.DOTALL).match
_strings = re.compile(_STRING, re.DOTALL)
_digits = re.compile(rb"[0-9]++")


def cut(body: bytes) -> bytes:
    """Return a body without what is below the levels that stay: 0 stands in its place."""
    if body.count(b"{") + body.count(b"[") > MOST_CONTAINERS:
        return body
    out: list[bytes] = []
    level = place = begin = 0
    while found := _to_bracket(body, place):
        place = found.end()
        opens = found[1] in b"[{"
        if opens and level == LEVELS:
            out += body[begin : place - 1], b"0"
        level += 1 if opens else -1
        if not opens and level == LEVELS:
            begin = place
    return b"".join([*out, body[begin:]]) if level < LEVELS else body


def whole_number(digits: str) -> int | Raw:
    """Return a whole number, for `json.loads`; as it was written where it has too many digits."""
    return int(digits) if len(digits.lstrip("-")) <= DIGITS else Raw(digits.encode())


def has_long_number(text: bytes) -> bool:
    """Say whether a whole number in a JSON text has too many digits; nearly always at no cost."""
    if len(text) <= DIGITS:
        return False
    # So many in a row are under two of these samples that stand side by side.
    if not re.search(rb"[0-9][0-9]", text[:: DIGITS // 2]):
        return False
    return any(len(run) > DIGITS for run in _digits.findall(_strings.sub(b"", text)))
