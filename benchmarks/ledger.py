"""What the ledger costs: sealing, proving and examining 100,000 consent records.

    python -m benchmarks.ledger [--records 100000]

In one process on a real PostgreSQL. Printed are seconds by the clock, and a ratio to a limit of the
same run: reading the same entries from the database, parsing each as JSON and hashing it with bare
SHA-256, which nobody who examines them can leave out. The goal is 60 s for 100,000 entries; status
1 when it is missed, or when a change is not found.
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.cli.session import opened
from app.db import Sessions, snapshot
from app.ledger.job import LedgerJob
from app.settings import Settings
from consent import ledger
from consent.ledger import check, store

GOAL_SECONDS = 60.0
PROOFS = 200

RECORDS = """
INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                            recorded_at, order_time, valid_until, notice, collected_by, evidence)
SELECT 'user_id', 'u-' || n % CAST(:people AS int), 'ads.share', 1,
       CASE n % 3 WHEN 0 THEN 'given' WHEN 1 THEN 'refused' ELSE 'withdrawn' END, t, t, t,
       t + interval '395 days', jsonb_build_object('key', 'banner', 'version', 1,
       'body_sha256', repeat('ab', 32)), 'source:web',
       jsonb_build_object('event_stamp', true, 'message_id', 'm-' || n)
FROM generate_series(1, CAST(:records AS int)) n,
     LATERAL (SELECT now() - (CAST(:records AS int) - n) * interval '1 s') AS x(t)
"""


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare(session: Session) -> None:
    """Read, parse and hash every entry."""
    query = sa.text("SELECT entry FROM consent.ledger_entry ORDER BY leaf_index")
    for text in session.scalars(query, execution_options={"yield_per": 10_000}):
        json.loads(text)
        hashlib.sha256(text.encode()).digest()


def main() -> int:
    """Run, print the table, and return the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=100_000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        settings = Settings(data_dir=home, ledger_key=None, keystore_url=None)
        with opened(settings) as sessions:
            job = LedgerJob(sessions, settings)
            with closing(job.keystore):
                return measure(sessions, job, chosen.records)


def measure(sessions: Sessions, job: LedgerJob, records: int) -> int:
    """Measure and print; return the exit status."""
    with sessions.begin() as session:
        session.execute(sa.text(RECORDS), {"records": records, "people": records // 4})
    sealing = timed(job.round)
    with snapshot(sessions) as session:
        bare(session)  # once, so that both find the pages in memory
        limit = timed(lambda: bare(session))
        started = time.perf_counter()
        alone = ledger.verify(session, full=True, external=job.anchor.read())
        line("verify --full, without keys", time.perf_counter() - started, records, limit)
        started = time.perf_counter()
        keys = job.keystore.by_ids
        report = ledger.verify(session, full=True, external=job.anchor.read(), keys=keys)
        seconds = time.perf_counter() - started
        line("verify --full", seconds, records, limit)
        proving = timed(lambda: prove(session, report.size))
    line("seal", sealing, records, limit)
    print(f"prove and check one: {proving / PROOFS * 1e3:.1f} ms")
    print(f"limit (read, JSON, SHA-256 of the same entries): {limit:.2f} s")
    print(f"entries {report.entries}, checkpoints {report.checkpoints}, problems "
          f"{len(report.problems)}, compared with their records {report.compared}")  # fmt: skip
    middle = report.size // 2
    changed = first_bad_after_a_change(sessions, middle)
    print(f"one byte of entry {middle} changed: first bad entry {changed}")
    good = alone.sound and report.sound and report.compared == records and changed == middle
    return 0 if good and seconds * 100_000 / records < GOAL_SECONDS else 1


def line(what: str, seconds: float, records: int, limit: float) -> None:
    """Print one figure."""
    print(f"{what}: {seconds:.2f} s for {records:,} records, {seconds / limit:.1f} x the limit")


def prove(session: Session, size: int) -> None:
    """Prove and check some entries, as requests do."""
    chance = random.Random(5)  # noqa: S311 -- to repeat a run
    vkeys = store.vkeys(session)
    for _ in range(PROOFS):
        index = chance.randrange(size)
        assert check.check(store.prove(session, index).write(), vkeys).index == index


def first_bad_after_a_change(sessions: Sessions, index: int) -> int | None:
    """Change one byte of an entry, examine, and undo it."""
    with sessions() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(
            sa.text(
                "UPDATE consent.ledger_entry SET entry = overlay(entry placing 'X' from 20 for 1) "
                "WHERE leaf_index = :index"
            ),
            {"index": index},
        )
        return ledger.verify(session, full=True).first_bad


if __name__ == "__main__":
    sys.exit(main())
