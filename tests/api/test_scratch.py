"""Data directories of commands: gone at the end, and after a kill by the next command."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from api.cli import scratch

HOLD = """
import sys, time
from pathlib import Path
from app.postgres import embedded
with embedded(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
"""


def alive(process: int) -> bool:
    """Say whether it runs; where nobody buries the dead, one may be left as a zombie."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield where temporary files go: no folder of pytest's, which PostgreSQL may not enter."""
    with TemporaryDirectory(prefix="parcours-tests-") as made:
        Path(made).chmod(0o755)
        monkeypatch.setattr("tempfile.tempdir", made)
        yield Path(made)


def test_a_directory_is_gone_at_the_end(temporary: Path) -> None:
    with scratch.scratch("try") as home:
        assert home.parent == temporary
        (home / "x").touch()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_command_left_goes_and_what_is_in_use_or_someone_elses_stays(
    temporary: Path,
) -> None:
    home = temporary / "parcours-try-1"
    home.mkdir(mode=0o755)
    long_ago = time.time() - 3600
    new = temporary / "parcours-try-3"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, home], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "up\n"
            os.utime(home, (long_ago, long_ago))
            (temporary / "other").mkdir()
            (temporary / "parcours-try-2").symlink_to(temporary / "other")
            new.mkdir()
            assert scratch.sweep("parcours-try-") == []  # in use, a link, just made
            server = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        finally:
            holder.kill()
    assert alive(server)
    os.utime(new, (long_ago, long_ago))
    assert scratch.sweep("parcours-try-") == [home, new]
    assert not home.exists()
    assert (temporary / "other").exists()
    assert not alive(server)
