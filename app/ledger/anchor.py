"""Checkpoints outside the database: what a rewritten ledger is held against.

A file to which each checkpoint is added, in a directory that is best on another machine, where who
administers the database cannot change it.
"""

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from app.db import Sessions, advisory_lock
from app.errors import AnchorUnusable
from app.key_file import sync_folder
from consent.ledger.check import Checkpoint, ProofInvalid, open_checkpoint, read_checkpoint
from consent.ledger.store import checkpoints_after, head

FILE = "checkpoints.txt"
#: So much of the end of the file is read for the last checkpoint.
TAIL = 65_536
#: Checkpoints written at once.
AT_ONCE = 1_000
#: A checkpoint among others; one whose end was never written is none.
NOTE = re.compile(
    r"^(\S+\n\d+\n[A-Za-z0-9+/]{43}=\n)\n((?:— \S+ (?:[A-Za-z0-9+/]{91}=|[A-Za-z0-9+/=]{96,})\n)+)",
    re.MULTILINE,
)


def notes(text: str) -> list[str]:
    """Return the checkpoints in a text, as they were signed."""
    return [f"{found[1]}\n{found[2]}" for found in NOTE.finditer(text + "\n")]


class Anchor:
    """The file of checkpoints in a directory."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made with the first checkpoint."""
        self.path = folder / FILE

    def last(self, origin: str) -> Checkpoint | None:
        """Return the last checkpoint of a log; None where there is none. Raises AnchorUnusable."""
        found = [n for n in notes(self._tail()) if n.startswith(f"{origin}\n")]
        return read_checkpoint(found[-1].partition("\n\n")[0] + "\n") if found else None

    def add(self, some: Sequence[str]) -> None:
        """Add checkpoints; they are on disk when this returns. Raises AnchorUnusable."""
        try:
            new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write("".join(f"\n{note}" for note in some).encode())
                file.flush()
                os.fsync(file.fileno())
            if new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise AnchorUnusable(f"{self.path}: {error.strerror}") from error

    def read(self, origin: str = "") -> list[str]:
        """Return all checkpoints, or those of one log. Raises AnchorUnusable."""
        start = f"{origin}\n" if origin else ""
        try:
            text = self.path.read_text(encoding="utf-8")
            return [note for note in notes(text) if note.startswith(start)]
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise AnchorUnusable(f"{self.path}: {type(error).__name__}") from error

    def _tail(self) -> str:
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise AnchorUnusable(f"{self.path}: {error.strerror}") from error


def publish(sessions: Sessions, anchor: Anchor, own: Collection[str]) -> int:
    """Add the checkpoints that are not there yet, and return how many. Raises AnchorUnusable.

    Those that a key of this installation signed (`own`, as vkeys): the ledger is held against what
    is there, so nothing gets there that whoever has the database wrote into it.
    """
    done, after = 0, None
    while True:
        with sessions.begin() as session, advisory_lock(session, "ledger anchor") as mine:
            origin = head(session).note.partition("\n")[0]
            if not mine or not origin:
                return done
            if after is None:
                last = anchor.last(origin)
                after = last.size if last else 0
            rows = checkpoints_after(session, after, limit=AT_ONCE)
            notes_here = (row.note for row in rows if row.note.startswith(f"{origin}\n"))
            new = [note for note in notes_here if _signed(note, own)]
            if new:
                anchor.add(new)
            done += len(new)
            if len(rows) < AT_ONCE:
                return done
            after = rows[-1].size


def _signed(note: str, own: Collection[str]) -> bool:
    try:
        open_checkpoint(note, own)
    except ProofInvalid:
        return False
    return True
