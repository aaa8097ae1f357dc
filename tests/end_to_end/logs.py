"""Check 86: nothing that a test sends, and no secret, is in what the product logs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

#: Members of what is sent that name somebody, in any spelling of a client.
NAMING = re.compile(
    r"(user|anonymous|previous|group|crm|device)_?id|email|phone|value|values"
    r"|(first|last|given|family)_?name|street|address|ip|token|secret|write_?key",
    re.IGNORECASE,
)
#: Shorter ones stand anywhere.
SHORTEST = 6
#: What no log may hold, whoever it is of: addresses of mail, keys, secrets, tokens.
SHAPES = re.compile(
    r"[\w.+%-]+@[\w-]+\.[\w.]+|\bwk_[\w-]{16,}|\bwhsec_[\w+/=]{16,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]+"
    r"|(?<![\w.:-])\+\d{9,15}\b"
)


class Watch:
    """What was sent to a product, and where of it something stands that must not be there."""

    def __init__(self) -> None:
        self.sent: set[str] = set()

    def request(self, request: httpx.Request) -> None:
        """Note what a request names; a hook of httpx."""
        if "json" in request.headers.get("content-type", "") and not isinstance(
            request.stream, httpx.AsyncByteStream
        ):
            try:
                self.note(json.loads(request.read()))
            except (ValueError, RecursionError):
                return  # a test of bodies that are none

    def note(self, what: Any, named: bool = False) -> None:
        """Note what a body names."""
        if isinstance(what, dict):
            for key, value in what.items():
                self.note(value, NAMING.fullmatch(str(key)) is not None)
        elif isinstance(what, list):
            for value in what:
                self.note(value, named)
        elif named and isinstance(what, str) and len(what.strip()) >= SHORTEST:
            self.sent.add(what.strip())

    def found(self, files: Iterator[Path]) -> list[str]:
        """Return where a log holds something of it: the file, and the beginning of what it is."""
        out = []
        for path in files:
            text = path.read_bytes().decode("utf-8", "replace")
            here = {shape[0] for shape in SHAPES.finditer(text)}
            here |= {one for one in self.sent if one in text}
            out += [f"{path.name}: {one[:40]!r}" for one in sorted(here)]
        return out
