"""What identity stitching and the rest of the pipeline cost per event, in CPU, beside appending.

    python -m benchmarks.stitch            (or: --rounds 5 --events 10000 --batch 2000 --set web)

In one process on a real PostgreSQL, without HTTP, so that the figures are the work itself: CPU of
this Python process, and of the PostgreSQL backend it talks to as the kernel counts it. Three
variants take turns on consecutive pieces of one stream, the order turning too, because the machine
is noisy: append alone, append and stitch (`resolve` and reading the events for it), append and the
whole pipeline step.

Two streams. `web` is what a website's tag sends all day: 5,000 visitors who come again and again,
six of ten logged in, three never, and one in ten new and logging in for the first time; each
session of a login repeats its identify call. `demo` is the demonstration's
year of a retailer, in which most people appear for the first time.
"""

import argparse
import gc
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from api.cli.session import opened
from api.demo.generate import Call, generate
from app import pipeline, work
from app.access import sources
from app.access.sources import SourceSettings
from app.db import Sessions
from app.events import envelope, stream
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope
from app.events.insert import Way
from app.events.item import Item
from app.events.memory import Memory
from app.resolve import resolve
from app.segments import members as segments
from app.settings import Settings
from identity import people

VISITORS = 5_000
VARIANTS = ("append", "append + stitch", "append + pipeline")
#: The parts of one step of the pipeline, as (module or object, name).
STAGES: tuple[tuple[ModuleType, str], ...] = (
    (stream, "next_outlines"),
    (work, "take"),
    (pipeline, "resolve"),
    (pipeline, "project"),
    (segments, "list_all"),
    (people, "people_of"),
    (pipeline, "publish"),
    (pipeline, "advance"),
    (stream, "done"),
)

Message = dict[str, Any]
Work = Callable[[Sequence[Item]], None]


def main() -> None:
    """Run the rounds and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--events", type=int, default=10_000, help="of each variant and round")
    arguments.add_argument("--batch", type=int, default=2_000, help="events in one transaction")
    arguments.add_argument("--set", choices=("web", "demo"), action="append", dest="sets")
    chosen = arguments.parse_args()
    gc.set_threshold(100_000, 20, 20)  # as the server and the worker have it
    for name in chosen.sets or ("web", "demo"):
        with (
            tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch,
            _opened(Path(scratch)) as sessions,
        ):
            messages = {"web": web, "demo": demo}[name](chosen.rounds, chosen.events)
            print(f"\n{name}: {chosen.rounds} rounds of {chosen.events:,}, batch {chosen.batch:,}")
            Run(sessions, chosen.batch).compare(messages, chosen.rounds)


@contextmanager
def _opened(scratch: Path) -> Iterator[Sessions]:
    scratch.chmod(0o755)  # PostgreSQL runs under another account when we are root
    with opened(Settings(data_dir=scratch)) as sessions:
        yield sessions


def web(rounds: int, events: int) -> Iterator[list[Message]]:
    """Yield the pieces of the stream of a website: a warm-up, then one for each measurement."""
    dice = random.Random(11)  # noqa: S311 -- invented traffic, no secret
    clock = datetime.now(UTC) - timedelta(days=30)
    visitors = list(range(VISITORS))
    stage = {v: "new" if v % 10 == 9 else "known" if v % 10 < 6 else "nobody" for v in visitors}
    for piece in range(rounds * len(VARIANTS) + 1):
        # Each piece has new visitors of its own, or nobody would be new twice.
        stage = {(v if s != "new" else v + 100_000): s for v, s in stage.items()}
        visitors = list(stage)
        if piece == 0:
            calls = [m for v in visitors for m in _session(v, stage[v], dice, clock, 2)]
        else:
            calls = []
            while len(calls) < events:
                v = dice.choice(visitors)
                length = 1 + int(dice.expovariate(1 / 6))
                calls += _session(v, stage[v], dice, clock, length, switch=stage[v] == "new")
            calls = calls[:events]
        calls.sort(key=lambda m: m["timestamp"])
        clock += timedelta(days=1)
        yield calls


def _session(
    visitor: int, stage: str, dice: random.Random, day: datetime, length: int, *,
    switch: bool = False,
) -> Iterator[Message]:  # fmt: skip
    """Yield the calls of one session; who switches looks round first and logs in half-way."""
    at = day + timedelta(seconds=dice.randrange(80_000))
    allowed = visitor % 3 != 0
    for number in range(length):
        login = stage == "known" or (switch and number >= length // 2)
        first = number == 0 if stage == "known" else number == length // 2
        at += timedelta(seconds=dice.randrange(1, 90))
        kind = "identify" if login and first else "page" if number % 3 == 0 else "track"
        yield {
            "type": kind,
            "messageId": str(UUID(int=dice.getrandbits(128))),
            "anonymousId": str(UUID(int=visitor + 2**100)),
            "userId": f"user-{visitor}" if login else None,
            "timestamp": at.isoformat(),
            **_content(kind, visitor, number, dice),
            "context": {
                "page": {"url": "https://shop.example.net/p/1", "referrer": "", "search": ""},
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0",
                "locale": "en-GB", "timezone": "Europe/London",
                "library": {"name": "analytics.js", "version": "npm:next-1.81.0"},
                "consent": {"categoryPreferences": {
                    "analytics.audience": True, "profile.link": allowed}},
            },
        }  # fmt: skip


def _content(kind: str, visitor: int, number: int, dice: random.Random) -> Message:
    """Return what a call of this kind carries, as the SDKs write it."""
    if kind == "identify":
        return {"traits": {
            "email": f"v{visitor}@example.net", "firstName": f"Ada{visitor % 97}",
            "lastName": f"Love{visitor % 89}", "plan": "free", "logins": number,
        }}  # fmt: skip
    return {
        "name" if kind == "page" else "event": f"Event {dice.randrange(20)}",
        "properties": {
            "path": f"/p/{dice.randrange(500)}",
            "title": "Garden chairs and more",
            "price": dice.randrange(9999) / 100,
            "currency": "EUR",
            "products": [{"sku": f"SKU-{dice.randrange(99)}", "quantity": 1}],
        },
    }


def demo(rounds: int, events: int) -> Iterator[list[Message]]:
    """Yield the pieces of the demonstration's year, in order of time."""
    pieces = rounds * len(VARIANTS) + 1
    calls = generate(people=max(100, pieces * events // 22), end=datetime.now(UTC)).calls
    messages = [{**_message(call), "messageId": call.message_id} for call in calls]
    size = len(messages) // pieces
    for piece in range(pieces):
        yield messages[piece * size : (piece + 1) * size][:events]


def _message(call: Call) -> Message:
    place = "traits" if call.type == "identify" else "properties"
    return {
        "type": call.type,
        "event" if call.type == "track" else "name": call.event,
        "userId": call.user_id,
        "anonymousId": call.anonymous_id,
        "context": call.context,
        "timestamp": call.timestamp.isoformat(),
        place: call.properties,
    }


class Run:
    """The measurements on one database."""

    def __init__(self, sessions: Sessions, batch: int) -> None:
        """Measure on this database, with this many events in one transaction."""
        self.sessions, self.batch = sessions, batch
        self.cache = Memory()
        with sessions.begin() as session:
            added, _ = sources.add(session, "bench", collection_purpose="service.operation")
            self.source: SourceSettings = sources.settings_of(added)
            self.pid: int = session.scalar(sa.text("SELECT pg_backend_pid()"))
        self.stages: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def compare(self, pieces: Iterator[list[Message]], rounds: int) -> None:
        """Measure every variant once a round and print medians, in microseconds of CPU."""
        self._finish(self._append, self._read(next(pieces)))
        cost: dict[str, list[tuple[float, float]]] = defaultdict(list)
        piped = 0
        for number in range(rounds):
            turn = number % len(VARIANTS)
            for name in VARIANTS[turn:] + VARIANTS[:turn]:
                items = self._read(next(pieces))
                python, backend = self._measure(name, items)
                cost[name].append((python / len(items), backend / len(items)))
                piped += len(items) if name == VARIANTS[2] else 0
                self._finish()
        self._print(cost, piped)

    def _print(self, cost: dict[str, list[tuple[float, float]]], piped: int) -> None:
        alone = [sum(c) for c in cost[VARIANTS[0]]]
        print(f"{'CPU µs per event':<22}{'Python':>8}{'PG':>8}{'total':>8}{'min':>8}{'max':>8}"
              f"{'beside':>8}{'ratio':>8}")  # fmt: skip
        for name in VARIANTS:
            total = [sum(c) for c in cost[name]]
            beside = statistics.median(t - a for t, a in zip(total, alone, strict=True))
            ratio = statistics.median(t / a for t, a in zip(total, alone, strict=True))
            python = statistics.median(p for p, _ in cost[name])
            backend = statistics.median(b for _, b in cost[name])
            print(f"{name:<22}{python:>8.1f}{backend:>8.1f}{statistics.median(total):>8.1f}"
                  f"{min(total):>8.1f}{max(total):>8.1f}{beside:>8.1f}{ratio:>8.2f}")  # fmt: skip
        for stage, (python, backend) in self.stages.items():
            print(f"  {stage:<20}{python / piped:>8.1f}{backend / piped:>8.1f}"
                  f"{(python + backend) / piped:>8.1f}")  # fmt: skip

    def _read(self, messages: Sequence[Message]) -> list[Item]:
        received_at = datetime.now(UTC)
        read = [
            envelope.read(to_message(m), received_at=received_at, largest=32_768) for m in messages
        ]
        return [Item(self.source, e, received_at) for e in read if isinstance(e, Envelope)]

    def _measure(self, name: str, items: Sequence[Item]) -> tuple[float, float]:
        gc.collect()
        gc.freeze()  # what waits to be sent must not cost each collection again
        before = self._cpu()
        self._append(items)
        if name == VARIANTS[1]:
            while self._stitch():
                pass
        elif name == VARIANTS[2]:
            with self._staged():
                while self._step():
                    pass
        after = self._cpu()
        return after[0] - before[0], after[1] - before[1]

    def _append(self, items: Sequence[Item]) -> None:
        for at in range(0, len(items), self.batch):
            with self.sessions.begin() as session:
                append(session, items[at : at + self.batch], self.cache, way=Way.UNSEEN)

    def _stitch(self) -> bool:
        """Read a batch and resolve it, as the pipeline does."""
        with self.sessions.begin() as session:
            touched = work.take(session, self.batch)
            events = stream.next_outlines(session, "pipeline", self.batch)
            consents = {t.identifier_id for t in touched}
            resolve(session, events, consents, now=datetime.now(UTC))
            if events:
                stream.done(session, "pipeline", events[-1])
            return bool(events)

    def _step(self) -> bool:
        with self.sessions.begin() as session:
            return not pipeline.step(session, limit=self.batch).idle

    def _finish(self, first: Work | None = None, items: Sequence[Item] = ()) -> None:
        """Bring the pipeline up to date, unmeasured."""
        if first:
            first(items)
        while self._step():
            pass

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Count the CPU of each stage of the pipeline while this lasts."""
        originals = [(owner, name, getattr(owner, name)) for owner, name in STAGES]
        for owner, name, function in originals:
            setattr(owner, name, self._counted(name, function))
        try:
            yield
        finally:
            for owner, name, function in originals:
                setattr(owner, name, function)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*args: Any, **more: Any) -> Any:
            before = self._cpu()
            try:
                return function(*args, **more)
            finally:
                after = self._cpu()
                self.stages[name][0] += after[0] - before[0]
                self.stages[name][1] += after[1] - before[1]

        return counted

    def _cpu(self) -> tuple[float, float]:
        """Return the CPU that this process and its backend have used, in microseconds."""
        spent = Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]
        return time.process_time_ns() / 1000, int(spent) / 1000


if __name__ == "__main__":
    main()
