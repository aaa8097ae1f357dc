"""Puts the events of many requests into one transaction: a micro-batch clocks itself.

While one batch is being committed the next one gathers, and a batch begins when the event loop has
nothing more at hand: a busy server commits rarely, an idle one at once. Nothing waits for a timer
(a linger of 3 ms brought nothing: performance.md).
"""

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import db
from app.db import DataRefused, Sessions, unavailable
from app.errors import OverCapacity, StorageFull, SuppressionKeyUnusable
from app.events import rejected
from app.events.append import append
from app.events.envelope import Envelope, Rejection, message_of
from app.events.held import Holding
from app.events.insert import Way
from app.events.item import Batch, Item, Outcome
from app.events.kept import opts_out
from app.events.memory import Memory

log = logging.getLogger("parcours.writer")

#: Events in one transaction: above this the insert gets no cheaper per event (performance.md A2).
LARGEST_BATCH = 2_000
#: Events that may wait. Beyond it requests are refused with 503, so that memory stays flat.
MOST_WAITING = 20_000

#: So long, in seconds, may the event loop take to say whether it has more at hand.
LONGEST_TURN = 0.02

#: So long, in seconds, may what waits take to be written when the server stops.
LONGEST_CLOSE = 4.0

#: So long after a write that failed for a reason of the server's `readyz` says so.
FAILING_SECONDS = 10.0

#: What is between the times of two events of one request.
TICK = timedelta(microseconds=1)

#: So long after a client has repeated itself events are looked for before they are written.
DOUBT_SECONDS = 60.0

#: What an event's own values can cause. It is rejected then; of any other error its sender hears
#: that the server failed, and sends it again.
FAULTS = (*DataRefused, msgspec.MsgspecError, ValueError, RecursionError)

Answer = asyncio.Future[list[Outcome]]


@dataclass(slots=True)
class _Request:
    batch: Batch
    loop: asyncio.AbstractEventLoop
    answer: Answer


class Writer:
    """Writes events in the background and answers each request once they are committed."""

    def __init__(
        self,
        sessions: Sessions,
        room: Callable[[], bool] = lambda: True,
        *,
        holding: Holding | None = None,
    ) -> None:
        """Start the writing thread; while there is no `room` on the disk, nothing is taken.

        Without `holding` no event waits for its visitor's answer.
        """
        # Its transactions are repeated when a connection turns out broken.
        url = sessions.kw["bind"].url.render_as_string(hide_password=False)
        self._engine = db.engine(url, pool_size=1, check=False)
        self._sessions = db.sessions(self._engine)
        self._room = room
        self._holding = holding
        self._began: float | None = None
        self._failed: tuple[float, str] | None = None
        self._doubted: float | None = None
        self._memory = Memory()
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> Answer:
        """Hand in one request, from an event loop; the answer comes after the durable commit.

        A client that leaves does not stop the write. Raises OverCapacity when too many events
        wait already, and StorageFull while the disk has no room.
        """
        if not self._room():
            raise StorageFull("")
        if not self.alive:
            raise OverCapacity("the thread that writes events has ended")
        with self._lock:
            if self._waiting + len(batch.entries) > MOST_WAITING and self._waiting:
                raise OverCapacity("too many events are waiting to be written")
            self._waiting += len(batch.entries)
        loop = asyncio.get_running_loop()
        request = _Request(batch, loop, loop.create_future())
        self._queue.put(request)
        return request.answer

    @property
    def alive(self) -> bool:
        """Whether the writing thread runs."""
        return self._thread.is_alive()

    @property
    def busy_seconds(self) -> float:
        """How long the present transaction has taken so far."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def failing(self) -> str | None:
        """Why the last write failed, for some seconds: then it is worth another try."""
        if self._failed is None or time.monotonic() - self._failed[0] > FAILING_SECONDS:
            return None
        return self._failed[1]

    def close(self) -> None:
        """Write what waits, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=LONGEST_CLOSE)
        self._engine.dispose()

    def _run(self) -> None:
        open_ = True
        while open_:
            requests, open_ = self._gather()
            if requests:
                self._began = time.monotonic()
                try:
                    self._write(requests)
                except Exception as error:  # whatever it was, this thread must go on
                    self._fails(requests, error)
                self._began = None
                with self._lock:
                    self._waiting -= sum(len(r.batch.entries) for r in requests)

    def _gather(self) -> tuple[list[_Request], bool]:
        """Wait for one request, then take what else is there, up to a full batch."""
        requests: list[_Request] = []
        size = 0
        entry = self._queue.get()
        while entry is not None:
            requests.append(entry)
            size += len(entry.batch.entries)
            if size >= LARGEST_BATCH:
                return requests, True
            if self._queue.empty():
                _let_turn(entry.loop)
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return requests, True
        return requests, False

    def _write(self, requests: list[_Request]) -> None:
        batches = [request.batch for request in requests]
        written: list[list[Outcome] | Exception]
        try:
            written = [*self._cheapest(batches)]
        except Exception as error:
            if _everybodys(error):
                raise
            # One of them is at fault: it must not cost the others anything.
            written = [self._divided(batch) for batch in batches]
        self._failed = None
        _answer(requests, written)

    def _fails(self, requests: Sequence[_Request], error: Exception) -> None:
        """Tell all of these requests, and `readyz` for some seconds, that writing failed."""
        self._failed = time.monotonic(), unavailable(error) or type(error).__name__
        log.error("%d requests were not written: %s", len(requests), type(error).__name__)
        _answer(requests, [error] * len(requests))

    def _cheapest(self, batches: Sequence[Batch]) -> list[list[Outcome]]:
        """Write in the cheapest way that works: no two events of one id, and none of bad values.

        Who repeats one event will repeat others: after a restart, or when answers came too late.
        """
        if self._doubted is None or time.monotonic() - self._doubted > DOUBT_SECONDS:
            try:
                return self._once_more(batches, Way.UNSEEN)
            except DataRefused:
                self._doubted = time.monotonic()
        try:
            return self._once_more(batches, Way.SOUGHT)
        except DataRefused:  # another writer has the same event in hand
            return self._once_more(batches)

    def _once_more(self, batches: Sequence[Batch], way: Way = Way.EACH) -> list[list[Outcome]]:
        """Write in one transaction, once more on a connection that broke while idle."""
        try:
            with self._sessions.begin() as session:
                return write(session, batches, self._memory, way=way, holding=self._holding)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        with self._sessions.begin() as session:
            return write(session, batches, self._memory, way=way, holding=self._holding)

    def _divided(self, batch: Batch) -> list[Outcome] | Exception:
        """Write a request by halves of halves, so that what the database refuses costs only itself.

        One bad event among n takes some 2 log n transactions, where each event alone took n.
        """
        try:
            [written] = self._once_more([batch])
            return written
        except Exception as error:
            if _everybodys(error):
                return error
            if len(batch.entries) == 1:
                return self._refused(batch, error) if isinstance(error, FAULTS) else error
        half = len(batch.entries) // 2
        out: list[Outcome] = []
        for part in (batch.entries[:half], batch.entries[half:]):
            outcomes = self._divided(Batch(batch.source, part, batch.received_at))
            if isinstance(outcomes, Exception):
                return outcomes
            out += outcomes
        return out

    def _refused(self, batch: Batch, error: Exception) -> list[Outcome] | Exception:
        """Keep the event as a rejected one."""
        fault = getattr(error, "orig", None)
        reason = str(fault).splitlines()[0][:200] if fault else "a value in it cannot be read"
        log.warning("an event could not be stored: %s", type(fault or error).__name__)
        [entry] = batch.entries
        raw = entry.raw if isinstance(entry, Rejection) else message_of(entry)
        gpc = entry.gpc if isinstance(entry, Rejection) else opts_out(entry.context)
        failed: Exception = error
        for kept in (raw, None):  # what cannot even be kept is only counted
            rejection = Rejection("unstorable", reason, entry.message_id, kept, gpc=gpc)
            try:
                return self._once_more([Batch(batch.source, [rejection], batch.received_at)])[0]
            except Exception as another:
                failed = another
                if unavailable(failed):
                    break
        return failed


def write(
    session: Session,
    batches: Sequence[Batch],
    memory: Memory,
    *,
    way: Way = Way.EACH,
    holding: Holding | None = None,
) -> list[list[Outcome]]:
    """Append the events of several requests, keep what was rejected, and say what became of each.

    In this transaction, for each request in its order. `way` as in `append`.
    """
    items = [item for batch in batches for item in _items(batch)]
    # Not when it was received: whoever sends a body slowly would be asked for the consent that
    # stood when they began.
    now = max([datetime.now(UTC), *(item.received_at for item in items)])
    if not items:
        memory.refresh(session)  # what is kept of the others must name nobody who was erased
        memory.plans.refresh(session)  # and hold no value of a special category
    appended = append(session, items, memory, now=now, way=way, holding=holding)
    sizes = [len(batch.entries) for batch in batches]
    readable = len(items) == sum(sizes)
    unread = [] if readable else [entry for batch in batches for entry in _refused(batch)]
    refused = [*unread, *rejected.unplanned(items, appended)]
    rejected.keep(session, refused, memory.gate, memory.plans.special)
    if readable:
        ends = itertools.accumulate(sizes)
        return [appended[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    outcomes = iter(appended)
    return [
        [
            Outcome("rejected", entry.code, entry.message)
            if isinstance(entry, Rejection)
            else next(outcomes)
            for entry in batch.entries
        ]
        for batch in batches
    ]


def _everybodys(error: Exception) -> bool:
    """Say whether an error is the fault of no event."""
    return isinstance(error, SuppressionKeyUnusable) or unavailable(error) is not None


def _items(batch: Batch) -> Iterable[Item]:
    """Yield the events of a request."""
    source = batch.source
    return [Item(source, e, at) for at, e in _placed(batch) if isinstance(e, Envelope)]


def _refused(batch: Batch) -> Iterable[rejected.Refused]:
    """Yield what of a request was rejected, at the times that order it among its events."""
    source = batch.source
    return [rejected.Refused(source, at, e) for at, e in _placed(batch) if isinstance(e, Rejection)]


def _placed(batch: Batch) -> Iterable[tuple[datetime, Envelope | Rejection]]:
    """Pair the entries of a request with times: equal ones keep the sender's order."""
    ticks = itertools.repeat(TICK, max(0, len(batch.entries) - 1))
    times = itertools.accumulate(ticks, datetime.__add__, initial=batch.received_at)
    return zip(times, batch.entries, strict=bool(batch.entries))


def _let_turn(loop: asyncio.AbstractEventLoop) -> None:
    """Let the event loop go round, so that requests that have arrived are handed in as well.

    It reads what has come in one turn, and its handlers run in the next. Without this a batch began
    with the first of 32 requests, and the others made the next: 1.4 times the CPU of an event that
    comes alone.
    """
    turned = threading.Event()
    try:
        loop.call_soon_threadsafe(loop.call_soon, turned.set)
    except RuntimeError:  # the loop is closed: nothing comes any more
        return
    turned.wait(LONGEST_TURN)


def _answer(requests: Sequence[_Request], written: Sequence[list[Outcome] | Exception]) -> None:
    """Wake each event loop once, with all of its answers."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Answer, list[Outcome] | Exception]]] = {}
    for request, outcomes in zip(requests, written, strict=True):
        by_loop.setdefault(request.loop, []).append((request.answer, outcomes))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, answers)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.warning("%d requests left before their answer", len(answers))


def _deliver(answers: Iterable[tuple[Answer, list[Outcome] | Exception]]) -> None:
    for answer, outcomes in answers:
        if answer.done():
            continue  # its client left
        if isinstance(outcomes, Exception):
            answer.set_exception(outcomes)
        else:
            answer.set_result(outcomes)
