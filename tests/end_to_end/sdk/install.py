"""Installs the published SDKs, pinned by hash, each set once, in a folder that git ignores."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
NODE = HERE.parent / "node"
CACHE = HERE.parents[2] / ".sdk-cache"
#: Set in CI, where a missing program or package is a failure.
REQUIRED = os.environ.get("SDK_TESTS") == "required"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing(what: str) -> NoReturn:
    """Skip the test for want of a program, or fail where none may be missing."""
    if REQUIRED:
        pytest.fail(f"{what}, and SDK_TESTS=required")
    pytest.skip(what)


def python_package(requirements: str) -> Path:
    """Return a folder with one Python SDK and what it needs; several versions live side by side."""
    pinned = HERE / "python" / requirements

    def install(folder: Path) -> list[str]:
        uv = str(Path(sys.executable).with_name("uv"))
        return [uv, "pip", "install", "--quiet", "--require-hashes",
                "--target", str(folder), "--requirement", str(pinned)]  # fmt: skip

    return _once(pinned, install)


def node_packages(home: Path = NODE) -> Path:
    """Return a folder with the npm packages that `home` pins, and the scripts that use them."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed")

    def install(folder: Path) -> list[str]:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(home / name, folder)
        return ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
                "--prefix", str(folder)]  # fmt: skip

    folder = _once(home / "package-lock.json", install)
    with _locked(folder):
        for script in [*home.glob("*.mjs"), *home.glob("*.html")]:
            _put(script, folder / script.name)
    return folder


def _put(script: Path, where: Path) -> None:
    """Copy a script in one step: a Node process that reads it now must not find half of it.

    One that finds an empty script ends well and says nothing, as CI saw once.
    """
    new = where.with_suffix(".new")
    shutil.copy(script, new)
    new.replace(where)


def chromium() -> str:
    """Return the path of a Chromium."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    missing("no Chromium is installed (apt-get install chromium)")


def _once(pinned: Path, command: Callable[[Path], list[str]]) -> Path:
    """Install what a lock file pins, unless it is there; keyed by its content."""
    content = hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{pinned.stem}-{content}"
    with _locked(folder):
        if not (folder / ".done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            done = subprocess.run(
                command(folder),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
                env={**os.environ, "npm_config_update_notifier": "false"},
            )
            if done.returncode:
                missing(f"{pinned.name} could not be installed: {done.stderr[-500:]}")
            (folder / ".done").touch()
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other test processes from installing the same at once."""
    CACHE.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
