"""Directories for servers that live as long as a command, and what killed commands left of them."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.postgres import stop_unused

#: A directory in which no server has been started after so many seconds is nobody's.
_EMPTY_SECONDS = 600


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yield a new data directory for a server that is thrown away; it is deleted at the end.

    Those of commands of this `name` and this user that were killed go first, their server too.
    """
    prefix = f"parcours-{name}-"
    sweep(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        home = Path(made)
        home.chmod(0o755)
        yield home


def sweep(prefix: str) -> list[Path]:
    """Delete the directories that begin so and whose servers nobody uses; return them.

    Whoever uses one holds a lock on it, which the kernel frees however the process ends.
    """
    gone = []
    for home in sorted(Path(tempfile.gettempdir()).glob(f"{prefix}*")):
        if _is_ours(home) and (stop_unused(home) or _is_old(home)):
            shutil.rmtree(home, ignore_errors=True)
            gone.append(home)
    return gone


def _is_ours(home: Path) -> bool:
    try:
        return not home.is_symlink() and home.is_dir() and home.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _is_old(home: Path) -> bool:
    """Say whether nobody began to use it, and nobody will."""
    try:
        began = (home / "postgres.users").exists()
        return not began and time.time() - home.stat().st_mtime > _EMPTY_SECONDS
    except OSError:
        return False
