"""The US Privacy string of four characters, deprecated since 2024 and still sent; never written."""

import re
from dataclasses import dataclass

from consent.signals.bits import Undecodable

_FORM = re.compile(r"1([YN-])([YN-])([YN-])", re.ASCII)


@dataclass(frozen=True, slots=True)
class UsPrivacy:
    """What it says; None where the law does not apply (`-`)."""

    notice: bool | None
    opted_out: bool | None
    covered: bool | None


def decode(text: str) -> UsPrivacy:
    """Decode a US Privacy string (CCPA Compliance Framework 1.0); raises Undecodable.

    >>> decode("1YYN").opted_out
    True
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise Undecodable("no_us_privacy_string")
    meanings = {"Y": True, "N": False, "-": None}
    return UsPrivacy(*(meanings[letter] for letter in found.groups()))
