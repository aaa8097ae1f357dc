"""Counts in memory what must not cost a write per request, and writes it down now and then."""

import logging
import threading
import time
from collections import Counter
from datetime import UTC, datetime

from app.access import write_keys
from app.db import Sessions
from app.events import tally

log = logging.getLogger("parcours.meter")

#: How often refused requests are written down, and how often the last use of keys, in seconds.
REFUSED_SECONDS = 1.0
USED_SECONDS = 60.0


class Meter:
    """Counts requests that were refused whole, and remembers when each key was last used.

    A kill -9 costs at most the last second of the first and the last minute of the second; the
    counts of stored events do not pass here (`app.events.tally`).
    """

    def __init__(self, sessions: Sessions, *, used_seconds: float = USED_SECONDS) -> None:
        """Start the thread that writes."""
        self._sessions = sessions
        self._used_seconds = used_seconds
        self._lock = threading.Lock()
        self._refused: Counter[tuple[int, str, str]] = Counter()
        self._used: dict[int, datetime] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._thread.start()

    def refused(self, source_id: int, code: str, events: int) -> None:
        """Count a request that was refused whole, by the events in it, unread ones as one."""
        with self._lock:
            self._refused[source_id, "rejected", code] += max(1, events)

    def used(self, key_id: int, at: datetime) -> None:
        """Remember that a key was used."""
        with self._lock:
            self._used[key_id] = at

    def close(self) -> None:
        """Write down what is left, then stop."""
        self._stop.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        next_use = 0.0
        stopping = False
        while not stopping:
            stopping = self._stop.wait(REFUSED_SECONDS)
            try:
                self._write_refused()
                if stopping or time.monotonic() >= next_use:
                    next_use = time.monotonic() + self._used_seconds
                    self._write_used()
            except Exception as error:
                log.error("counts wait for the database: %s", type(error).__name__)

    def _write_refused(self) -> None:
        with self._lock:
            counts, self._refused = self._refused, Counter()
        if not counts:
            return
        try:
            with self._sessions.begin() as session:
                tally.add(session, counts, datetime.now(UTC))
        except Exception:
            with self._lock:
                self._refused.update(counts)
            raise

    def _write_used(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
        if not used:
            return
        try:
            with self._sessions.begin() as session:
                write_keys.note_use(session, used)
        except Exception:
            with self._lock:
                self._used = {**used, **self._used}
            raise
