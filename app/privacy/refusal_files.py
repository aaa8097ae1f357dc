"""The files of the journal of refusals: one a month, append-only, beside the erasure journal.

A line of JSON for each identifier in each portion: the number of the portion, the id of the key
that opens the line, and what is sealed with it.
"""

import base64
import binascii
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.errors import JournalUnusable
from app.key_file import sync_folder

ENDING = ".journal"
#: So much of the end of a file is read for its last line, at first.
TAIL = 65_536
#: Whose key a line names that says nothing of anybody.
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Line:
    """What one portion says of one identifier; nothing where it only says that all is told anew."""

    number: int
    key_id: UUID
    sealed: bytes


def append(folder: Path, lines: Sequence[Line], *, at: datetime) -> None:
    """Add lines to the file of the month; they are on disk when this returns.

    Raises JournalUnusable.
    """
    text = "".join(
        json.dumps(
            {
                "n": one.number,
                "key": one.key_id.hex,
                "sealed": base64.b64encode(one.sealed).decode(),
            }
        )
        + "\n"
        for one in lines
    )
    path = folder / f"{at:%Y-%m}{ENDING}"
    try:
        new = not path.exists()
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "ab") as file:
            # A line that a crash cut short must not spoil the next one.
            file.write(b"\n" + text.encode())
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(folder)
    except OSError as error:
        raise JournalUnusable(f"{path}: {type(error).__name__}") from error


def begin(folder: Path, number: int, *, at: datetime) -> None:
    """Say that all is told anew from this portion on. Raises JournalUnusable."""
    append(folder, [Line(number, NOBODY, b"")], at=at)


def last(folder: Path) -> int:
    """Return the number of the last portion; 0 where there is none. Raises JournalUnusable."""
    try:
        # The clock of who wrote may have gone back by a month.
        return max((_last(path) for path in _files(folder)), default=0)
    except OSError as error:
        raise JournalUnusable(f"{folder}: {type(error).__name__}") from error


def lines(folder: Path, *, after: int) -> Iterator[Line]:
    """Yield the lines of later portions, as they were written. Raises JournalUnusable.

    One that a crash cut short is passed over: its portion was written once more.
    """
    try:
        for path in _files(folder):
            if _last(path) <= after:
                continue
            with path.open("rb") as file:
                for text in file:
                    line = _line(text)
                    if line is not None and line.number > after:
                        yield line
    except OSError as error:
        raise JournalUnusable(f"{folder}: {type(error).__name__}") from error


def clear(folder: Path, *, before: datetime) -> None:
    """Delete the files of months that ended before a time; the last one stays, whatever it is of.

    Raises JournalUnusable.
    """
    try:
        for path in _files(folder)[:-1]:
            if path.stem < f"{before:%Y-%m}":
                path.unlink(missing_ok=True)
    except OSError as error:
        raise JournalUnusable(f"{folder}: {type(error).__name__}") from error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{ENDING}"))


def _last(path: Path) -> int:
    size = path.stat().st_size
    tail = TAIL
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size - tail))
            for text in reversed(file.read(tail).split(b"\n")):
                line = _line(text)
                if line is not None:
                    return line.number
            if tail >= size:
                return 0
            tail *= 4


def _line(text: bytes) -> Line | None:
    try:
        told = json.loads(text)
        return Line(int(told["n"]), UUID(told["key"]), base64.b64decode(told["sealed"]))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return None
