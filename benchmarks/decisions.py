"""What a consent decision costs: for one profile, and for everybody at once.

    make bench        (or: python -m benchmarks.decisions --people 1000000)

Every second of the people has two identifiers, the others one; each answered about three purposes;
one in a hundred demands that use stops, for one in fifty it is known that they are a child.
Printed: one person's decision (median and 99th of 2,000) in turn with a bare `SELECT 1`, so that
what the machine does beside it is seen, and the CPU of both; and the decision for all of them in
one statement, beside counting the records of the same purpose, which is the least that anything
must do that reads them.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

import consent
from api.cli.session import opened
from app.consents.permission import decision, parameters, permissions
from app.settings import Settings
from benchmarks.cpu import of_backend

PURPOSE = "marketing.email"
#: First decisions of a connection that are left out: psycopg prepares a statement at the sixth, and
#: PostgreSQL keeps a plan after five of these.
WARM = 30
DECISIONS = 2_000
#: Ids 4p and 4p + 1 are one person's, 4p + 2 is another's.
FILL = (
    """
    INSERT INTO identity.identifier (id, namespace, value, group_id, person_id, reach_id)
    OVERRIDING SYSTEM VALUE
    SELECT i, CASE WHEN i % 4 = 1 THEN 'user_id' ELSE 'anonymous_id' END, md5(CAST(i AS text)),
           CASE WHEN i % 4 = 1 THEN i - 1 ELSE i END, CASE WHEN i % 4 = 1 THEN i - 1 ELSE i END,
           CASE WHEN i % 4 = 1 THEN i - 1 ELSE i END
    FROM generate_series(4, 2 * :people + 3) AS i WHERE i % 4 <> 3
    """,
    """
    INSERT INTO consent.record (namespace, value, purpose, purpose_version, state, effective_at,
                                recorded_at, order_time, valid_until, collected_by, evidence)
    SELECT namespace, value, purpose, 1,
           CASE WHEN (id + length(purpose)) % 7 = 0 THEN 'refused' ELSE 'given' END,
           now() - interval '1 day', now() - interval '1 day', now() - interval '1 day',
           now() + interval '300 days', 'source:bench', '{"event_stamp": true}'
    FROM identity.identifier,
         unnest(ARRAY['marketing.email', 'analytics.audience', 'profile.link']) AS purpose
    """,
    """
    INSERT INTO consent.restriction (namespace, value, kind, from_at, reason_ref)
    SELECT namespace, value, 'objection_marketing', now() - interval '1 day', 'bench'
    FROM identity.identifier WHERE id % 200 = 0
    """,
    """
    INSERT INTO consent.age_band (namespace, value, band, from_at, stated_by)
    SELECT namespace, value, 'child', now() - interval '1 day', 'bench'
    FROM identity.identifier WHERE id % 100 = 4
    """,
)


def main() -> None:
    """Fill a database, decide, and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--people", type=int, default=1_000_000)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        with opened(Settings(data_dir=home)) as sessions:
            for statement in FILL:
                with sessions.begin() as session:
                    session.execute(sa.text(statement), {"people": chosen.people})
            with sessions() as session:
                connection = session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
                connection.execute(sa.text("VACUUM ANALYZE"))
            with sessions.begin() as session:
                _one(session)
                _everybody(session)


def _one(session: Session) -> None:
    dice = random.Random(1)  # noqa: S311 -- a sample, no secret
    most = session.scalar(sa.text("SELECT max(person_id) FROM identity.identifier")) or 0
    backend = session.scalar(sa.text("SELECT pg_backend_pid()")) or 0
    bare = sa.text("SELECT 1")
    turns: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(WARM + DECISIONS):
        person = dice.randrange(4, most) // 4 * 4
        calls: dict[str, Callable[[], object]] = {
            "SELECT 1": lambda: session.scalar(bare),
            "decide": lambda: permissions(session, PURPOSE, [person]),  # noqa: B023 -- called here
        }
        for name, call in calls.items():
            cpu = time.process_time_ns() + of_backend(backend)
            wall = _timed(call)
            cpu = time.process_time_ns() + of_backend(backend) - cpu
            turns[name].append((wall * 1e3, cpu / 1e6))
    for name, spent in turns.items():
        wall_ms, cpu_ms = zip(*spent[WARM:], strict=True)
        p99 = statistics.quantiles(wall_ms, n=100)[98]
        print(f"one person: {name:<9} median {statistics.median(wall_ms):.2f} ms, p99 {p99:.2f}; "
              f"CPU {statistics.median(cpu_ms):.2f} ms")  # fmt: skip
    added = [d[0] - s[0] for s, d in zip(*(turns[n][WARM:] for n in turns), strict=True)]
    ratio = statistics.median(d[1] / s[1] for s, d in zip(*turns.values(), strict=True))
    print(f"one person: a decision is {ratio:.1f} x the CPU of SELECT 1, and "
          f"{statistics.median(added):.2f} ms more")  # fmt: skip


def _everybody(session: Session) -> None:
    purpose = consent.catalogue.purpose(session, PURPOSE)
    counted = sa.text(f"SELECT count(*) FILTER (WHERE allowed) FROM ({decision(None).text}) d")  # noqa: S608 -- our own text
    least = sa.text("SELECT count(*) FROM consent.record WHERE purpose = :purpose")
    for _ in range(3):
        bare = _timed(lambda: session.scalar(least, {"purpose": PURPOSE}))
        whole = _timed(lambda: session.scalar(counted, parameters(purpose, None)))
        print(f"everybody: {whole:.1f} s; counting the records {bare:.2f} s; {whole / bare:.0f} x")


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
