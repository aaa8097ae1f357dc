"""The erasure journal: an append-only file beside the database, by which erasures are repeated.

A line of JSON for each: keyed hashes, no identifiers. It is written before the transaction that
erases is committed: after a crash in between the next start erases what is in the journal and not
in the database. A restored backup is the same case.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from app.errors import JournalUnusable
from app.key_file import sync_folder
from consent.suppression import Entry

log = logging.getLogger("parcours.privacy")

ERASED, LIFTED = "erased", "lifted"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened: identifiers were erased, or may be stored again."""

    id: UUID
    what: str
    at: datetime
    reason_ref: str
    normaliser: int
    entries: tuple[Entry, ...]


def append(path: Path, line: Line) -> None:
    """Add a line, on disk when this returns. Raises JournalUnusable."""
    text = json.dumps(
        {
            "id": str(line.id),
            "what": line.what,
            "at": line.at.isoformat(),
            "reason_ref": line.reason_ref,
            "normaliser": line.normaliser,
            "entries": [[e.ref.hex(), e.key_id.hex(), e.namespace] for e in line.entries],
        }
    )
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "ab") as file:
            # A line that a crash cut short must not spoil this one.
            file.write(b"\n" + text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(path.parent)
    except OSError as error:
        raise JournalUnusable(f"{path}: {type(error).__name__}") from error


def read(path: Path) -> Sequence[Line]:
    """Return all lines, oldest first; none where there is no file. Raises JournalUnusable.

    One that a crash cut short is passed over: what it tells of was not done either.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise JournalUnusable(f"{path}: {type(error).__name__}") from error
    lines = []
    for number, one in enumerate(text.splitlines(), 1):
        if not one.strip():
            continue
        try:
            lines.append(_line(json.loads(one)))
        except (ValueError, KeyError, TypeError):
            log.error("line %d of the erasure journal cannot be read", number)
    return lines


def _line(told: dict[str, object]) -> Line:
    entries = told["entries"]
    if not isinstance(entries, list):
        raise TypeError("entries")
    return Line(
        UUID(str(told["id"])),
        str(told["what"]),
        datetime.fromisoformat(str(told["at"])),
        str(told["reason_ref"]),
        int(str(told["normaliser"])),
        tuple(Entry(bytes.fromhex(r), bytes.fromhex(k), str(n)) for r, k, n in entries),
    )
