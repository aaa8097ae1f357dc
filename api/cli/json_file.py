"""Reads a file that holds one JSON object."""

import json
from pathlib import Path
from typing import Any, NoReturn


def read(file: Path) -> dict[str, Any]:
    """Return the object; raises ValueError, saying what is wrong with the file.

    NaN and Infinity are no JSON (RFC 8259 §6), although Python reads them.
    """
    try:
        value = json.loads(file.read_bytes(), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{file} is not a JSON object")
    return value


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
