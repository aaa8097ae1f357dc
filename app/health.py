"""Says whether this process can serve, and why not: what `/readyz` answers, in bounded time."""

import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app import work
from app.db import Sessions, unavailable
from app.destinations import trouble
from app.events import stream, tally
from app.events.writer import Writer
from app.journeys import saved
from app.segments import looking
from identity import reviews

#: So long may the database take to answer before it counts as hanging.
DATABASE_SECONDS = 2.0
#: A transaction of events that takes longer is stuck.
WRITER_SECONDS = 10.0
#: Events that wait longer for the pipeline than this are late.
LATE_SECONDS = 300.0
#: A job that has failed for so long will not mend itself by its next try.
FAILING_SECONDS = 10.0


@dataclass(slots=True)
class Health:
    """What was found: `faults` stop the service, `worries` do not."""

    database: str = "up"
    backlog: int | None = None
    oldest_seconds: float | None = None
    worker_seconds: float | None = None
    free_bytes: int | None = None
    #: Events of the last hour, by outcome and reason.
    events: dict[tuple[str, str], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    worries: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`ready`, `degraded` (requests are served, something is late) or `unavailable`."""
        if self.faults:
            return "unavailable"
        return "degraded" if self.worries else "ready"


class Probe:
    """Examines one server process; at most one question to the database is under way."""

    def __init__(self, sessions: Sessions, home: Path, least_free: int) -> None:
        """Ask this database, and look at the disk of the embedded one under `home`."""
        self._sessions = sessions
        self._home = home / "postgres"
        self._least_free = least_free
        self._asker = ThreadPoolExecutor(1, thread_name_prefix="health")
        self._asked: Future[_Answer] | None = None
        self._lock = threading.Lock()

    def examine(self, writer: Writer) -> Health:
        """Look at everything; takes little more than DATABASE_SECONDS, whatever hangs."""
        health = Health()
        self._disk(health)
        _writer(health, writer)
        self._database(health)
        return health

    def _disk(self, health: Health) -> None:
        health.free_bytes = free_bytes(self._home)
        if health.free_bytes is not None and health.free_bytes < self._least_free:
            health.faults.append(f"only {health.free_bytes} bytes of disk are free")

    def _database(self, health: Health) -> None:
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = self._asker.submit(_ask, self._sessions)
            asked = self._asked
        try:
            answer = asked.result(DATABASE_SECONDS)
        except NotYet:
            health.database = "hangs"
            health.faults.append(f"the database did not answer within {DATABASE_SECONDS:.0f} s")
        except sa.exc.SQLAlchemyError as error:
            health.database = "down"
            health.faults.append(unavailable(error) or "the database refuses")
        else:
            _judge(health, answer)


@dataclass(frozen=True, slots=True)
class _Answer:
    writable: bool
    backlog: stream.Backlog
    touched: int
    now: datetime
    worker: datetime | None
    failing: dict[str, datetime]
    stuck: dict[str, tuple[str, datetime]]
    matching: str | None
    others: list[str]
    events: dict[tuple[str, str], int]


def _ask(sessions: Sessions) -> _Answer:
    session: Session
    with sessions() as session:
        row = session.execute(
            sa.text(
                "SELECT clock_timestamp() AS now,"
                " NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
                " AS writable,"
                " (SELECT at FROM app.heartbeat WHERE job = 'pipeline') AS worker"
            )
        ).one()
        backlog = stream.backlog(session, "pipeline")
        touched = work.waiting(session, stream.MOST_COUNTED)
        failing, stuck = work.failing(session), looking.stuck(session)
        matching = _matching(session)
        destinations = [f"the destination {name} {why}" for name, why in trouble.of_all(session)]
        others = destinations + [
            f"the saved analysis {key} has failed since {since:%Y-%m-%d %H:%M}: {why}"
            for key, (why, since) in saved.failing(session).items()
        ]
        return _Answer(
            row.writable, backlog, touched, row.now, row.worker, failing, stuck, matching,
            others, tally.last_hour(session, row.now),
        )  # fmt: skip


def _matching(session: Session) -> str | None:
    """Say how matching fails: of both kinds of run the one that failed more often."""
    scopes = {reviews.ALL: "matching", reviews.NEW: "matching of who is new"}
    failed, what = max(
        ((reviews.failures(session, scope), what) for scope, what in scopes.items()),
        key=lambda one: one[0].times,
    )
    if not failed.times:
        return None
    times = "once" if failed.times == 1 else f"{failed.times} times"
    return f"{what} has failed {times} ({failed.error}); its next try waits longer each time"


def _judge(health: Health, answer: _Answer) -> None:
    if not answer.writable:
        health.database = "read-only"
        health.faults.append("the database takes no writes")
    # Consents are mirrored from what was touched, of which one event leaves a row for each of its
    # identifiers: with the last event read, half of that may still wait, and matching not see it.
    health.backlog = max(answer.backlog.events, answer.touched)
    health.events = answer.events
    if answer.backlog.oldest is not None:
        health.oldest_seconds = max(0, (answer.now - answer.backlog.oldest).total_seconds())
        if health.oldest_seconds > LATE_SECONDS:
            health.worries.append(
                f"the oldest waiting event has waited {health.oldest_seconds:.0f} s"
            )
    for job, since in sorted(answer.failing.items()):
        seconds = (answer.now - since).total_seconds()
        if seconds > FAILING_SECONDS:
            health.worries.append(f"the job {job} has failed for {seconds:.0f} s")
    for what, (why, since) in sorted(answer.stuck.items()):
        seconds = (answer.now - since).total_seconds()
        health.worries.append(f"the {what} is stuck for {seconds:.0f} s: {why}")
    if answer.matching is not None:
        health.worries.append(answer.matching)
    health.worries += answer.others
    if answer.worker is None:
        health.worries.append("no worker has run yet")
        return
    health.worker_seconds = max(0, (answer.now - answer.worker).total_seconds())
    if health.worker_seconds > work.WORKER_SECONDS:
        health.worries.append(f"no worker for {health.worker_seconds:.0f} s")


def _writer(health: Health, writer: Writer) -> None:
    if not writer.alive:
        health.faults.append("the thread that writes events has ended")
    elif writer.busy_seconds > WRITER_SECONDS:
        health.faults.append(f"a transaction of events has taken {writer.busy_seconds:.0f} s")
    if writer.failing is not None:
        health.faults.append(f"events cannot be written: {writer.failing}")


def free_bytes(folder: Path) -> int | None:
    """Return what is free on the disk of a directory; None where there is none such."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class Room:
    """Says, at most once a second, whether the disk has room for more events."""

    def __init__(self, home: Path, least_free: int) -> None:
        """Look at the disk of the embedded database under `home`; 0 turns this off."""
        self._home = home / "postgres"
        self._least_free = least_free
        self._until = 0.0
        self._enough = True

    def __call__(self) -> bool:
        """Look again when the last look is a second old."""
        now = time.monotonic()
        if now >= self._until and self._least_free:
            free = free_bytes(self._home)
            self._enough = free is None or free >= self._least_free
            self._until = now + 1.0
        return self._enough
