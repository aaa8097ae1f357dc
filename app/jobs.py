"""The background jobs: each looks at the state, does what is due, and sleeps until woken.

There is no queue of jobs beside the data: what is to be done is what the tables say (the mark of
a reader, a delivery that is due, a run that waits), so nothing can be lost, doubled or stuck
between the two. docs/decisions/0008 says why not Procrastinate.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx

from app import matching, pipeline, sweeps, turning
from app.access import reads
from app.consents import denials
from app.db import Sessions, advisory_lock, exclusively, listen
from app.destinations import (
    evidence,
    file_removal,
    guard,
    manifest,
    outbox,
    portions,
    registry,
    syncing,
)
from app.destinations.deliver import deliver
from app.events import partitions, rejected, tally
from app.events.release import Releases
from app.journeys import alert_news, alerting, counting, following
from app.lake.copy import keep_up
from app.ledger.job import LedgerJob
from app.pending.vault import Vault
from app.plans import violations
from app.privacy import forward, opendsr, refusals
from app.privacy import run as privacy
from app.profiles import computing, history, rule_news
from app.retention import expire
from app.settings import Settings
from app.work import CHANNEL, beat, fail

log = logging.getLogger("parcours.jobs")

#: How long a job sleeps when nobody wakes it, in seconds.
PIPELINE_SECONDS = 1.0
#: How long it rests after a step, in seconds: so late may an event be seen at most for that.
PIPELINE_PAUSE_SECONDS = 0.05
DELIVERY_SECONDS = 0.5
#: So late does a sync of a destination begin.
SYNC_SECONDS = 1.0
#: How many destinations are served at once.
DELIVERING = 3
LAKE_SECONDS = 5.0
#: So late does a look at a new segment begin.
SEGMENT_SECONDS = 1.0
HELD_SECONDS = 60.0
#: How long it is kept that a record at a receiver was looked at, in days.
LOOK_DAYS = 30
TALLY_SECONDS = 60.0
TURNING_SECONDS = 5.0
COMPUTING_SECONDS = 1.0
JOURNEY_SECONDS = 1.0
FLOW_SECONDS = 60.0
#: How often it is looked which saved analyses are due, and whom there is to tell.
ALERT_SECONDS = 10.0
VIOLATION_SECONDS = 10.0
MATCHING_SECONDS = 1.0
PENDING_SECONDS = 0.5
REJECTED_SECONDS = 300.0
PARTITION_SECONDS = 60.0
PRIVACY_SECONDS = 1.0
#: So late does the journal beside the database hear of what takes use away.
REFUSAL_SECONDS = 1.0
SWEEP_SECONDS = 1.0
RETENTION_SECONDS = 3_600.0
#: How often everybody's consent is asked what is still kept for it.
PURPOSES_SECONDS = 86_400.0
#: How often a job writes that it lives.
BEAT_SECONDS = 5.0


class Worker:
    """Runs all jobs, each in a thread of its own, until it is told to stop."""

    def __init__(self, sessions: Sessions, settings: Settings, url: str) -> None:
        """`url` is the address of the database, for the connection that listens."""
        self._sessions = sessions
        self._settings = settings
        self._url = url
        self._stop = threading.Event()
        self._send = threading.Event()
        self._beats: dict[str, float] = {}
        self._purposes_due = 0.0
        self._releases = Releases(sessions, Vault(settings))
        self._ledger = LedgerJob(sessions, settings)

    def stop(self) -> None:
        """Ask every job to end after what it is doing."""
        self._stop.set()
        self._send.set()

    def run(self) -> None:
        """Work until `stop` is called; returns when every job has ended."""
        jobs: list[tuple[str, Callable[[], None]]] = [
            ("pipeline", self._pipeline),
            ("deliveries", self._deliveries),
            ("syncs", lambda: self._every(SYNC_SECONDS, self._syncs)),
            ("lake", lambda: self._every(LAKE_SECONDS, self._lake)),
            ("segments", lambda: self._every(SEGMENT_SECONDS, self._segments)),
            ("computing", lambda: self._every(COMPUTING_SECONDS, self._computing)),
            ("journeys", lambda: self._every(JOURNEY_SECONDS, self._journeys)),
            ("journey flow", lambda: self._every(FLOW_SECONDS, self._flow)),
            ("saved analyses", lambda: self._every(ALERT_SECONDS, self._saved_analyses)),
            ("alerts", lambda: self._every(ALERT_SECONDS, self._alerts)),
            ("partitions", lambda: self._every(PARTITION_SECONDS, self._partitions)),
            ("privacy", lambda: self._every(PRIVACY_SECONDS, self._privacy)),
            ("sweeps", lambda: self._every(SWEEP_SECONDS, self._sweeps)),
            ("retention", lambda: self._every(RETENTION_SECONDS, self._retention)),
            ("matching", lambda: self._every(MATCHING_SECONDS, self._matching)),
            ("pending", lambda: self._every(PENDING_SECONDS, self._releases.round)),
            ("turning", lambda: self._every(TURNING_SECONDS, self._turning)),
            ("held", lambda: self._every(HELD_SECONDS, self._held)),
            ("tally", lambda: self._every(TALLY_SECONDS, self._tally)),
            ("rejected", lambda: self._every(REJECTED_SECONDS, self._rejected)),
            ("violations", lambda: self._every(VIOLATION_SECONDS, self._violations)),
            ("refusals", lambda: self._every(REFUSAL_SECONDS, self._refusals)),
            ("ledger", lambda: self._every(self._settings.ledger_seconds, self._seal)),
        ]
        threads = [
            threading.Thread(target=self._guard, args=job, name=job[0], daemon=True) for job in jobs
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.2)
        self._ledger.keystore.close()

    def _guard(self, name: str, job: Callable[[], None]) -> None:
        """Run a job again when it fails, for instance because the database went away."""
        while not self._stop.is_set():
            try:
                job()
            except Exception as error:
                self._failed(name, error)
                self._stop.wait(1.0)

    def _failed(self, name: str, error: Exception) -> None:
        """Say that a job fails: in the log, and to `readyz` where the database can be told."""
        log.error("job %s failed (%s); trying again", name, _kind(error))
        log.debug("job %s", name, exc_info=error)
        self._beats.pop(name, None)
        with suppress(Exception), self._sessions.begin() as session:
            fail(session, name)

    def _pipeline(self) -> None:
        """Step whenever a commit says that there is work, and once a second in any case.

        After that it waits a moment, because a step has a price (some twenty statements) that the
        events of all commits of that moment share.
        """
        for _ in listen(self._url, CHANNEL, self._stop.is_set, PIPELINE_SECONDS):
            more = True
            while more and not self._stop.is_set():
                with self._sessions.begin() as session:
                    more = pipeline.step(session).more
                self._beat("pipeline")
            self._send.set()
            self._stop.wait(PIPELINE_PAUSE_SECONDS)

    def _deliveries(self) -> None:
        """Serve several destinations at once: a slow one must not hold up the others."""
        with guard.client(self._settings) as client:
            work = ("deliveries", partial(self._deliver, client))
            threads = [
                threading.Thread(target=self._guard, args=work, daemon=True)
                for _ in range(DELIVERING)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _deliver(self, client: httpx.Client) -> None:
        while not self._stop.is_set():
            self._send.wait(DELIVERY_SECONDS)
            self._send.clear()
            while not self._stop.is_set() and deliver(self._sessions, client):
                self._beat("deliveries")
            self._beat("deliveries")

    def _syncs(self) -> None:
        """Queue who is to be told, portion by portion."""
        more = True
        while more and not self._stop.is_set():
            with exclusively(self._sessions, "syncs") as mine:
                more = mine and portions.advance(self._sessions)
            if more:
                self._send.set()
                self._beat("syncs")

    def _lake(self) -> None:
        keep_up(self._sessions, self._settings.lake_dir)

    def _segments(self) -> None:
        more = True
        while more and not self._stop.is_set():
            with exclusively(self._sessions, "segments") as mine:
                more = mine and pipeline.refresh_next(self._sessions)
            if more:
                self._send.set()
                self._beat("segments")  # one of many purposes is due at any time

    def _held(self) -> None:
        """Look whose computed traits have changed of whom a destination holds a record; seal the
        secrets of destinations that were made before there was a key; delete the files of those
        that were removed, and take out of those of who is switched off whom they may have no more.
        """
        now = datetime.now(UTC)
        more = True
        while more and not self._stop.is_set():
            with self._sessions.begin() as session, advisory_lock(session, "held") as mine:
                more = mine and outbox.follow_computed(session, now=now)
                if mine and not more:
                    registry.seal_plain(session)
        with self._sessions.begin() as session:
            file_removal.clear(session, now=now)
        file_removal.take_out(self._sessions, now=now)

    def _computing(self) -> None:
        more = True
        while more and not self._stop.is_set():
            looked = history.advance(self._sessions, syncing.follow_trait)
            more = looked or rule_news.advance(self._sessions) or computing.advance(self._sessions)

    def _journeys(self) -> None:
        while not self._stop.is_set() and following.advance(self._sessions):
            pass

    def _flow(self) -> None:
        counting.refresh(self._sessions, self._settings.lake_dir)

    def _saved_analyses(self) -> None:
        alerting.advance(self._sessions, self._settings.lake_dir)

    def _alerts(self) -> None:
        with guard.client(self._settings) as client:
            alert_news.tell(self._sessions, client)

    def _partitions(self) -> None:
        partitions.maintain(self._sessions, timedelta(days=self._settings.deduplication_days))

    def _privacy(self) -> None:
        privacy.round_(self._sessions, self._settings)
        with guard.client(self._settings) as client:
            opendsr.call_back(self._sessions, self._settings, client)
            forward.forward(self._sessions, self._settings, client)
        self._send.set()

    def _sweeps(self) -> None:
        while not self._stop.is_set() and sweeps.advance(self._sessions):
            pass

    def _retention(self) -> None:
        self._forget(evidence.forget, self._settings.disclosure_days)
        self._forget(denials.forget, self._settings.denial_days)
        self._forget(outbox.forget_looks, LOOK_DAYS)
        self._forget_overtaken()
        self._forget(reads.forget, self._settings.read_days)
        rejected_days = timedelta(days=self._settings.rejected_days)
        by_purpose = time.monotonic() >= self._purposes_due
        done = expire.run(
            self._sessions,
            self._settings.lake_dir,
            rejected=rejected_days,
            by_purpose=by_purpose,
            page_days=self._settings.page_refusal_days,
        )
        if done is None:
            return
        if by_purpose:
            self._purposes_due = time.monotonic() + PURPOSES_SECONDS
        events = done.events + done.events_without_purpose
        if events or done.profiles_without_purpose or done.without_special_values:
            log.warning(
                "retention: %d events deleted, %d identifiers' traits, %d events' values of special"
                " categories, %d files rewritten",
                events,
                done.profiles_without_purpose,
                done.without_special_values,
                done.files,
            )

    def _matching(self) -> None:
        """Ask for a run when there is something new, and do the run that waits."""
        with exclusively(self._sessions, "matching") as mine:
            if not mine:
                return
            matching.request_if_needed(
                self._sessions,
                interval=self._settings.matching_interval_seconds,
                whole_every=self._settings.whole_matching_seconds,
            )
            done = matching.run_waiting(
                self._sessions,
                auto=self._settings.auto_merge_threshold,
                lowest=self._settings.lowest_merge_threshold,
                review=self._settings.review_threshold,
                way=matching.Way(
                    spill=self._settings.data_dir / "matching",
                    megabytes=self._settings.matching_memory_mb,
                    tell=matching.log.info,
                ),
            )
            if done is not None:
                self._send.set()

    def _turning(self) -> None:
        with self._sessions.begin() as session, advisory_lock(session, "turning") as mine:
            if mine:
                turning.look(session)

    def _tally(self) -> None:
        with self._sessions.begin() as session, advisory_lock(session, "tally") as mine:
            if mine:
                keep = timedelta(days=self._settings.tally_days)
                tally.compact(session, datetime.now(UTC), keep=keep)

    def _rejected(self) -> None:
        """Remove rejected events that have been kept long enough, or may not be any more."""
        keep = timedelta(days=self._settings.rejected_days)
        more = True
        while more and not self._stop.is_set():
            with self._sessions.begin() as session, advisory_lock(session, "rejected") as mine:
                more = mine and rejected.clean_up(session, datetime.now(UTC), keep=keep)

    def _violations(self) -> None:
        more = True
        while more and not self._stop.is_set():
            with self._sessions.begin() as session, advisory_lock(session, "violations") as mine:
                more = mine and violations.compact(session) == violations.COMPACTED_AT_ONCE
                if mine and not more:
                    violations.forget(session, now=datetime.now(UTC))

    def _seal(self) -> None:
        manifest.close(self._sessions)
        self._ledger.round()

    def _refusals(self) -> None:
        while not self._stop.is_set() and refusals.advance(
            self._sessions, self._ledger.keystore, self._settings
        ):
            pass

    def _forget_overtaken(self) -> None:
        """Delete the messages to destinations that later ones have overtaken long ago."""
        before = datetime.now(UTC) - timedelta(days=self._settings.delivery_days)
        after: int | None = 0
        while after is not None and not self._stop.is_set():
            with self._sessions.begin() as session:
                after = outbox.forget_overtaken(session, before=before, after=after)

    def _forget(self, forget: Callable[..., bool], days: int) -> None:
        """Delete what has been kept so many days, in small transactions."""
        before, more = datetime.now(UTC) - timedelta(days=days), True
        while more and not self._stop.is_set():
            with self._sessions.begin() as session:
                more = forget(session, before=before)

    def _beat(self, job: str) -> None:
        """Tell `readyz`, now and then, that this job does its work."""
        if time.monotonic() - self._beats.get(job, -BEAT_SECONDS) >= BEAT_SECONDS:
            with self._sessions.begin() as session:
                beat(session, job)
            self._beats[job] = time.monotonic()

    def _every(self, seconds: float, job: Callable[[], None]) -> None:
        """Do it so often. What fails is tried again soon, and ever later up to its own pace."""
        name, again = threading.current_thread().name, 1.0
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                job()
                self._beat(name)
                pause, again = seconds, 1.0
            except Exception as error:
                self._failed(name, error)
                pause = min(max(seconds, 1.0), again)
                again *= 2
            self._stop.wait(max(0.05, pause - (time.monotonic() - started)))


def _kind(error: Exception) -> str:
    """Name an error without its message, which may hold what a person sent."""
    return f"{type(error).__module__}.{type(error).__name__}"
