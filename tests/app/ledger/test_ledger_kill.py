"""A sealer that is killed fifty times, at any point, leaves no gap and no double."""

import multiprocessing
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess

import pytest
import sqlalchemy as sa

import consent
from app import db
from app.db import Sessions
from app.ledger.anchor import Anchor
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent import ledger
from consent.ledger import check, store
from tests.app.ledger import sealing_process
from tests.app.ledger.recording import choice, entries, people

pytestmark = pytest.mark.long

KILLS = 50
#: Records that each writer makes at most: what was not sealed is sealed at the end.
MOST_WRITTEN = 3_000


@contextmanager
def begun(settings: Settings, context: ForkServerContext) -> Iterator[BaseProcess]:
    """A sealer that has begun; killed in the end."""
    here, there = context.Pipe()
    given = (str(settings.database_url), str(settings.home), 5, there)
    process = context.Process(target=sealing_process.seal_on, args=given)
    process.start()
    assert here.poll(120), "it begins"
    yield process
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    process.close()
    here.close()
    there.close()


def test_e60_fifty_kills_of_the_sealer_leave_no_gap_and_no_double(
    sessions: Sessions, settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(60)  # noqa: S311 -- to repeat a run
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([sealing_process.__name__])
    stop = threading.Event()

    def write(number: int) -> None:
        """Small transactions, some of which stay open while others commit."""
        own = db.sessions(db.engine(str(settings.database_url), pool_size=2))
        n = 0
        while not stop.is_set() and n < MOST_WRITTEN // 5:
            n += 1
            people(own, 1 + n % 9, start=number * 1_000_000 + n * 10)
            if n % 5 == 0:
                with own.begin() as session:
                    said = choice(f"email:{number}-{n}@example.org")
                    consent.record(session, [said], received_at=datetime.now(UTC))
                    time.sleep(0.02)
            time.sleep(0.05)
        own.kw["bind"].dispose()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for thread in writers:
        thread.start()
    grown = []
    try:
        for _ in range(KILLS):
            with begun(settings, context):
                time.sleep(chance.uniform(0, 0.25))
            with sessions() as session:
                grown.append(store.head(session).size)
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    assert len(set(grown)) > KILLS / 4, "most of them sealed something before they died"

    job = LedgerJob(sessions, settings)
    job.round()
    with sessions() as session:
        records = session.scalar(sa.text("SELECT count(*) FROM consent.record"))
        found = entries(session)
        assert [int(entry["index"]) for entry in found] == list(range(len(found)))
        assert sum(entry["type"] == "consent" for entry in found) == records
        anchored = Anchor(settings.anchor_dir).read()
        signed = store.checkpoints(session, limit=1_000_000)
        vkeys = store.vkeys(session)
        report = ledger.verify(
            session, full=True, external=anchored, trusted=vkeys, keys=job.keystore.by_ids
        )
        assert report.problems == []
        assert report.compared == records
        sizes = [check.open_checkpoint(note, vkeys).size for note in anchored]
        assert sizes == [row.size for row in signed][::-1], "each is kept elsewhere, once"
    job.keystore.close()
    record_property("kills", KILLS)
    record_property("entries", len(found))
    record_property("checkpoints", len(signed))
