"""Puts the events of many requests into one transaction: a micro-batch clocks itself.

While one batch is being committed the next one gathers, so that a busy server commits rarely and
an idle one at once. Nothing waits for a timer (a linger of 3 ms brought nothing: performance.md).
"""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import DataRefused, Sessions
from app.errors import OverCapacity
from app.events.append import append
from app.events.item import Item, Outcome
from app.events.memory import Memory

log = logging.getLogger("parcours.writer")

#: Events in one transaction: above this the insert gets no cheaper per event (performance.md A2).
LARGEST_BATCH = 2_000
#: Events that may wait. Beyond it requests are refused with 503, so that memory stays flat.
MOST_WAITING = 20_000


@dataclass(slots=True)
class _Request:
    items: Sequence[Item]
    done: "Future[list[Outcome]]" = field(default_factory=Future)


class Writer:
    """Writes events in the background and answers each request once they are committed."""

    def __init__(self, sessions: Sessions) -> None:
        """Start the writing thread."""
        self._sessions = sessions
        self._memory = Memory()
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> "Future[list[Outcome]]":
        """Hand in the events of one request; the answer comes after their durable commit.

        Raises OverCapacity when too many events wait already.
        """
        with self._lock:
            if self._waiting + len(items) > MOST_WAITING and self._waiting:
                raise OverCapacity("too many events are waiting to be written")
            self._waiting += len(items)
        request = _Request(items)
        request.done.set_running_or_notify_cancel()  # a client that leaves does not stop the write
        self._queue.put(request)
        return request.done

    def close(self) -> None:
        """Write what waits, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=8)

    def _run(self) -> None:
        open_ = True
        while open_:
            requests, open_ = self._gather()
            if requests:
                self._write(requests)
                with self._lock:
                    self._waiting -= sum(len(r.items) for r in requests)

    def _gather(self) -> tuple[list[_Request], bool]:
        """Wait for one request, then take what else is there, up to a full batch."""
        requests: list[_Request] = []
        size = 0
        entry = self._queue.get()
        while entry is not None:
            requests.append(entry)
            size += len(entry.items)
            if size >= LARGEST_BATCH:
                return requests, True
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return requests, True
        return requests, False

    def _write(self, requests: list[_Request]) -> None:
        items = [item for request in requests for item in request.items]
        try:
            outcomes = self._commit(items)
        except DataRefused:
            outcomes = self._one_by_one(items)
        except Exception as error:
            log.error("a batch of %d events was not written: %s", len(items), type(error).__name__)
            for request in requests:
                request.done.set_exception(error)
            return
        start = 0
        for request in requests:
            request.done.set_result(outcomes[start : start + len(request.items)])
            start += len(request.items)

    def _commit(self, items: Sequence[Item]) -> list[Outcome]:
        """Write in one transaction, once more on a connection that broke while idle."""
        try:
            return self._transaction(items)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._transaction(items)

    def _transaction(self, items: Sequence[Item]) -> list[Outcome]:
        session: Session
        with self._sessions.begin() as session:
            return append(session, items, self._memory)

    def _one_by_one(self, items: Sequence[Item]) -> list[Outcome]:
        """Write each event alone, so that the one the database refuses costs only itself."""
        outcomes = []
        for item in items:
            try:
                outcomes += self._commit([item])
            except DataRefused as error:
                reason = str(error.orig).splitlines()[0] if error.orig else "refused"
                log.warning("the database refused an event: %s", type(error.orig).__name__)
                outcomes.append(Outcome("rejected", "unstorable", reason[:200]))
        return outcomes
