"""Origins of web pages that may send for a source; no database."""

import re
from collections.abc import Iterable

#: scheme://host or scheme://host:port, as a browser writes it (RFC 6454 §6.2). One `*.` stands
#: for one or more names before a domain; app schemes such as capacitor:// are origins too.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z0-9_-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_USUAL = {"http": "80", "https": "443"}
LONGEST = 300


def normal(origin: str) -> str:
    """Return an allowed origin in the form in which browsers send it.

    Exact origins and `https://*.example.com`. Raises ValueError, saying what to write instead.
    """
    text = origin.strip().lower()
    if text == "null":  # what sandboxed frames and files send
        return text
    found = _ORIGIN.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise ValueError(
            f"{origin[:100]!r} is no origin; write scheme://host or scheme://host:port, without "
            "a path, such as https://www.example.com or https://*.example.com"
        )
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if host.startswith("*.") and "." not in host[2:] and host != "*.localhost":
        raise ValueError(f"{origin!r} would allow a whole top-level domain")
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError(f"{origin!r} has an impossible port")
    usual = port is None or port == _USUAL.get(scheme)
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{port}"


def pattern(allowed: Iterable[str]) -> re.Pattern[str] | None:
    """Return what an origin must match wholly, or None when any is allowed."""
    each = [
        re.escape(origin).replace(r"://\*\.", r"://(?:[a-z0-9_-]+\.)+", 1) for origin in allowed
    ]
    return re.compile("|".join(each)) if each else None
