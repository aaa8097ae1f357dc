"""Options and bounds that commands of different groups share."""

import re
from datetime import timedelta
from typing import Annotated

import typer

#: Of a command that prints nothing but JSON, so that scripts may ask every command alike.
AlwaysJson = Annotated[bool, typer.Option("--json", help="Print JSON, as it does anyway.")]
#: The greatest number that a command takes as an id or version: the database holds some more.
GREATEST = 2**62

#: The longest duration, in seconds: a year.
LONGEST = 366 * 86_400
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(text: str) -> timedelta:
    """Read `90s`, `30m`, `24h`, `7d`; a bare number is seconds. Raises BadParameter."""
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 30m, 24h or 7d")
    seconds = int(found[1]) * _UNITS[found[2] or "s"]
    if seconds > LONGEST:
        raise typer.BadParameter(f"{text!r} is longer than a year")
    return timedelta(seconds=seconds)
