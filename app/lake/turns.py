"""How many analyses a process computes at once, and what each may take of the machine.

Who comes beyond that waits for a turn, up to a bound of people and of time; then they are told to
come again. Nothing is held while one waits: no session, no basis, which an erasure may change.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Condition

from app.errors import AnalysesBusy
from app.settings import Settings

Config = dict[str, str | bool | int | float | list[str]]
#: What a process that was killed left behind is removed when it is so old, in seconds.
LEFT = 3600


@dataclass(frozen=True, slots=True)
class Bounds:
    """At once, waiting beside them, for how long, and bytes of memory of those at once together."""

    at_once: int = 2
    waiting: int = 8
    seconds: float = 30.0
    memory: int = 1_200_000_000

    @property
    def each(self) -> int:
        """Bytes of memory that one analysis may take before it goes on on the disk."""
        return self.memory // self.at_once


class Turns:
    """Turns are given in the order in which they were asked for."""

    def __init__(self, bounds: Bounds) -> None:
        """Nobody computes and nobody waits."""
        self.bounds = bounds
        self._changed = Condition()
        self._running = 0
        self._queue: list[object] = []

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it while the block runs; raises AnalysesBusy."""
        self._wait()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def free(self) -> Iterator[bool]:
        """Hold a turn while the block runs if one is free and nobody waits; yield whether."""
        with self._changed:
            mine = not self._queue and self._running < self.bounds.at_once
            self._running += mine
        try:
            yield mine
        finally:
            with self._changed:
                self._running -= mine
                self._changed.notify_all()

    def _wait(self) -> None:
        bounds, mine = self.bounds, object()
        until = time.monotonic() + bounds.seconds
        with self._changed:
            if self._running >= bounds.at_once and len(self._queue) >= bounds.waiting:
                raise _busy(bounds, f"{len(self._queue)} wait already")
            self._queue.append(mine)
            try:
                while self._queue[0] is not mine or self._running >= bounds.at_once:
                    left = until - time.monotonic()
                    if left <= 0:
                        raise _busy(bounds, f"none was free in {bounds.seconds:g} s")
                    self._changed.wait(left)
                self._running += 1
            finally:
                self._queue.remove(mine)
                self._changed.notify_all()


def _busy(bounds: Bounds, why: str) -> AnalysesBusy:
    return AnalysesBusy(
        f"{bounds.at_once} analyses are computed at once, and {why}; ask again",
        retry_after=max(1, round(bounds.seconds / 2)),
    )


_turns = Turns(Bounds())


def use(settings: Settings) -> None:
    """Bound the analyses of this process as the settings say, from now on."""
    global _turns
    _turns = Turns(
        Bounds(
            at_once=settings.analyses_at_once,
            waiting=settings.analyses_waiting,
            seconds=settings.analyses_wait_seconds,
            memory=settings.analyses_memory_bytes,
        )
    )


@contextmanager
def turn() -> Iterator[None]:
    """Wait for a turn of this process, and hold it while the block runs; raises AnalysesBusy."""
    with _turns.turn():
        yield


@contextmanager
def free() -> Iterator[bool]:
    """Hold a turn of this process while the block runs if one is free; yield whether."""
    with _turns.free() as mine:
        yield mine


@contextmanager
def engine(directory: Path | None) -> Iterator[Config]:
    """Yield how DuckDB is opened for one analysis: bounded, what is too large in a file of its own.

    The file is in the directory, for its user alone, and gone when the block ends; None: there is
    nothing that could be too large.
    """
    bounded: dict[str, str | int] = {
        "threads": 2,
        "memory_limit": f"{_turns.bounds.each // 1000}KB",
    }
    if directory is None:
        yield {**bounded, "temp_directory": ""}
        return
    _sweep(directory)
    with TemporaryDirectory(prefix="spill-", dir=directory) as spill:
        yield {**bounded, "temp_directory": spill}


def _sweep(directory: Path) -> None:
    """Remove what a process that was killed left behind."""
    before = time.time() - LEFT
    for path in directory.glob("spill-*"):
        with suppress(OSError):
            if os.stat(path).st_mtime < before:
                shutil.rmtree(path, ignore_errors=True)
