"""A mixed stream of events beside the worker, and how soon memberships follow.

Of a hundred events about 67 are of people known for long, 10 tell traits of them, 15 are of devices
that nobody has seen, with consent, and 8 say whose device one of those is, which merges two people.
One in twenty makes somebody a member of the segment `probe`: somebody known, a new device, or who
takes over a device that is in.
"""

import random
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from app import pipeline
from app.access import sources
from app.db import Sessions
from app.events.append import append
from app.events.body import to_message
from app.events.envelope import Envelope, read
from app.events.item import Item
from app.events.memory import Memory
from app.jobs import PIPELINE_PAUSE_SECONDS
from app.segments import members
from benchmarks import cpu

NAMES = ("Page Viewed", "Product Viewed", "Product Added", "Cart Viewed", "Order Completed",
         "Order Refunded", "Signed In", "Support Called", "Email Opened", "Email Clicked",
         "Searched", "Reviewed")  # fmt: skip
PROBE = "Probe"
KINDS, WEIGHTS = ("known", "traits", "new", "merge"), (67, 10, 15, 8)
#: One in so many is to change a membership that is watched.
PROBING = 20
AGREES = {"consent": {"categoryPreferences": {"marketing.email": True, "analytics.audience": True}}}
MEMBERS = (
    "SELECT i.value FROM app.segment_member m JOIN identity.identifier i ON i.id = m.person_id"
    " WHERE m.segment_id = :id AND m.entered_at > now() - interval '60 seconds'"
)


@contextmanager
def timed(sessions: Sessions, what: str) -> Iterator[None]:
    """Print wall and CPU of a block."""

    def backends() -> int:  # in a transaction of its own, or the list of them is an old one
        with sessions() as session:
            return cpu.of_backends(session)

    started, own, theirs = time.perf_counter(), time.process_time(), backends()
    yield
    wall, mine = time.perf_counter() - started, time.process_time() - own
    spent = (backends() - theirs) / 1e9
    print(f"{what:<44}{wall:>8.1f} s, CPU {spent:>6.1f} s PostgreSQL, {mine:>5.1f} s Python")


class Mix:
    """Invents the events, one after another."""

    def __init__(self, people: int) -> None:
        """Of so many known people, `p1` and so on; of ten of them seven agree (0 to 6)."""
        self.people = people
        self.dice = random.Random(3)  # noqa: S311 -- invented traffic, no secret
        self.made: Counter[str] = Counter()
        self.loose: deque[str] = deque()
        self.inside: deque[tuple[str, float]] = deque()

    def next(self, number: int) -> tuple[dict[str, Any], str, str | None]:
        """Return a message, its kind, and whom it makes a member of `probe`, if anybody."""
        kind = self.dice.choices(KINDS, WEIGHTS)[0]
        probing = number % PROBING == 0
        if probing:
            kind = ("known", "new", "merge")[number // PROBING % 3]
            if kind == "merge" and not (self.inside and self.inside[0][1] < time.monotonic() - 3):
                kind = "known"
        elif kind == "merge" and not self.loose:
            kind = "new"
        self.made[kind] += 1
        return self._message(kind, probing)

    def _message(self, kind: str, probing: bool) -> tuple[dict[str, Any], str, str | None]:
        nth = self.made[kind]
        name = PROBE if probing else self.dice.choice(NAMES)
        track = {"type": "track", "event": name,
                 "properties": {"revenue": self.dice.randrange(500), "category": "c1"}}  # fmt: skip
        if kind == "new":
            device = f"new-{nth}"
            if probing:
                self.inside.append((device, time.monotonic()))
            else:
                self.loose.append(device)
            return (
                {**track, "anonymousId": device, "context": AGREES},
                kind,
                (device if probing else None),
            )
        if kind == "merge":  # who ends in 3 is asked about nothing else
            who = f"p{(nth * 10 + 3) % self.people}"
            device = self.inside.popleft()[0] if probing else self.loose.popleft()
            said = {"type": "identify", "userId": who, "anonymousId": device}
            return said, kind, who if probing else None
        if kind == "known" and probing:
            who = f"p{(nth * 10 + 1) % self.people}"
            return {**track, "userId": who}, kind, who
        who = f"p{1 + self.dice.randrange(self.people)}"
        if kind == "traits":
            plan = self.dice.choice(["free", "gold", "team"])
            return {"type": "identify", "userId": who, "traits": {"plan": plan}}, kind, None
        return {**track, "userId": who}, kind, None


class Stream:
    """Events at a rate, beside the jobs of the worker."""

    def __init__(self, sessions: Sessions, source_id: int, people: int) -> None:
        """Send to this database, as this source, about these people and new ones."""
        self.sessions, self.source_id = sessions, source_id
        self.mix = Mix(people)
        self.stop = threading.Event()
        self.sent: dict[str, tuple[str, float]] = {}
        self.seen: dict[str, float] = {}
        self.steps: list[tuple[float, int]] = []

    def run(self, rate: int, seconds: int) -> None:
        """Send; print how soon memberships followed."""
        threads = [
            threading.Thread(target=work)
            for work in (self._work, self._look, self._watch, lambda: self._send(rate, seconds))
        ]
        with timed(self.sessions, f"{rate} events/s for {seconds} s"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        median = statistics.median(taken for taken, _ in self.steps) * 1000
        events = sum(number for _, number in self.steps)
        print(f"{events:,} events in {len(self.steps)} steps, the median took {median:.0f} ms:",
              dict(self.mix.made))  # fmt: skip
        self._print("all", {*KINDS})
        for kind in ("known", "new", "merge"):
            self._print(kind, {kind})

    def _print(self, what: str, kinds: set[str]) -> None:
        asked = {who: at for who, (kind, at) in self.sent.items() if kind in kinds}
        waits = sorted(self.seen[who] - at for who, at in asked.items() if who in self.seen)
        if waits:
            print(
                f"event stored -> membership visible, {what}: {len(waits)} of {len(asked)}; p50"
                f" {waits[len(waits) // 2]:.2f} s, p95 {waits[int(len(waits) * 0.95)]:.2f} s,"
                f" worst {waits[-1]:.2f} s"
            )

    def _work(self) -> None:
        while not self.stop.is_set():
            started = time.perf_counter()
            with self.sessions.begin() as session:
                done = pipeline.step(session)
            if done.events:
                self.steps.append((time.perf_counter() - started, done.events))
            self.stop.wait(PIPELINE_PAUSE_SECONDS)

    def _look(self) -> None:
        while not self.stop.is_set():
            if not pipeline.refresh_next(self.sessions):
                self.stop.wait(5)

    def _watch(self) -> None:
        with self.sessions() as session:
            probe = members.find(session, "probe").id
        while not self.stop.is_set():
            with self.sessions() as session:
                for value in session.scalars(sa.text(MEMBERS), {"id": probe}):
                    self.seen.setdefault(value, time.perf_counter())
            self.stop.wait(0.02)

    def _send(self, rate: int, seconds: int) -> None:
        with self.sessions() as session:
            settings = sources.settings_of(sources.find_by_id(session, self.source_id))
        memory, number = Memory(), 0
        beginning = time.perf_counter()
        while (passed := time.perf_counter() - beginning) < seconds:
            items, probes = [], {}
            for _ in range(min(int(passed * rate) - number, 500)):
                number += 1
                message, kind, who = self.mix.next(number)
                items.append(_item(settings, message))
                if who is not None:
                    probes[who] = kind
            if items:
                with self.sessions.begin() as session:
                    append(session, items, memory)
                at = time.perf_counter()
                self.sent.update({who: (kind, at) for who, kind in probes.items()})
            time.sleep(0.01)
        time.sleep(5)
        self.stop.set()


def _item(settings: Any, message: dict[str, Any]) -> Item:
    now = datetime.now(UTC)
    event = read(to_message(message), received_at=now, largest=9_999)
    if not isinstance(event, Envelope):
        raise TypeError("the benchmark's own event was refused")
    return Item(settings, event, now)
