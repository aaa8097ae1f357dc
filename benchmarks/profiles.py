"""What it takes to read a profile beside a million others with ten million events.

    python -m benchmarks.profiles [--profiles 1000000 --events 10000000 --seconds 30]

The store is written as the pipeline would have left it: two identifiers a person, a grant of
`marketing.email`, four traits, ten events in the mean over ten partitions, one person with 100,000
events, and two segments with members. `parcours serve --no-worker` in a process of its own is then
asked over loopback at a fixed pace, by as many connections as are needed, and the latency counts
from when a request was due, so that a server that falls behind is seen to. CPU is as the kernel
counts it, of the server and of the PostgreSQL backends; statements are counted in this process.
"""

import argparse
import json
import queue
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from fastapi.testclient import TestClient

from api.cli.product import free_port, running
from api.cli.session import opened
from api.main import create_app
from app import db
from app.access import clients, sources
from app.db import Sessions
from app.events import partitions
from app.settings import Settings
from benchmarks import cpu
from benchmarks.ingest import listener

PURPOSE = "marketing.email"
HEAVY_EVENTS = 100_000
PARTS = 10
#: Fewer than the server keeps connections to its database, so that none ends between two looks.
CONNECTIONS = 8

PEOPLE = """
INSERT INTO identity.identifier
  (id, namespace, value, group_id, person_id, reach_id, settled, link_consent)
SELECT 2 * n + k, CASE k WHEN 0 THEN 'user_id' ELSE 'anonymous_id' END,
       CASE k WHEN 0 THEN 'u-' ELSE 'd-' END || n, 2 * n, 2 * n, 2 * n, true, 'given'
FROM generate_series(CAST(:first AS bigint), :last) n CROSS JOIN (VALUES (0), (1)) i(k)
"""
GRANTS = """
INSERT INTO consent.record
  (namespace, value, purpose, purpose_version, state, effective_at, recorded_at, order_time,
   collected_by, evidence)
SELECT 'user_id', 'u-' || n, :purpose, 1, 'given', at, at, at, 'benchmark', '{}'
FROM generate_series(CAST(:first AS bigint), :last) n, (SELECT now() - interval '30 days') t(at)
"""
TRAITS = """
INSERT INTO app.trait
  (identifier_id, key, refused, value, occurred_at, received_at, event_id, message_id, source_id)
SELECT 2 * n, key, '{}', to_json(key || ' of ' || n), at, at, n, 'message-' || n, :source
FROM generate_series(CAST(:first AS bigint), :last) n,
     unnest(ARRAY['first_name', 'last_name', 'city', 'plan']) key,
     (SELECT now() - interval '20 days') t(at)
"""
EVENTS = """
INSERT INTO app.event
  (source_id, message_id, type, name, identifier_id, identifier_ids, user_id, occurred_at,
   received_at, refused, properties, context, part)
SELECT :source, 'e-' || :part || '-' || n, 'track', (ARRAY['Product Viewed', 'Product Added',
       'Order Completed'])[1 + n % 3], 2 * who, ARRAY[2 * who], 'u-' || who, at, at, '{}',
       json_build_object('product_id', n % 5000, 'price', n % 97, 'currency', 'EUR'),
       '{"ip": "192.0.2.1", "locale": "fr-FR", "page": {"path": "/a/page", "title": "A page"}}',
       :part
FROM generate_series(CAST(1 AS bigint), :events) n,
     LATERAL (SELECT CASE WHEN n <= :heavy THEN 1
                     ELSE 2 + (n * 7919 + CAST(:part AS bigint) * 104729) % (:profiles - 1) END,
                     now() - interval '1 day' * (12 - :part) + interval '1 second' * (n % 80000)
             ) e(who, at)
"""
OPEN = "SELECT part FROM app.event_partition WHERE opened_at IS NOT NULL AND closed_at IS NULL"
MEMBERS = """
INSERT INTO app.segment_member (segment_id, person_id, entered_at)
SELECT :segment, 2 * n, now()
FROM generate_series(CAST(:first AS bigint), :profiles, 3) n
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of one run: milliseconds of each answer, CPU milliseconds, statements."""

    name: str
    latencies: list[float]
    server: float
    backends: float
    statements: int

    def percentile(self, share: float) -> float:
        """Return the latency in milliseconds under which this share of the answers lies."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Load the store, ask, and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--profiles", type=int, default=1_000_000)
    arguments.add_argument("--events", type=int, default=10_000_000)
    arguments.add_argument("--rate", type=float, default=50.0, help="requests a second")
    arguments.add_argument("--seconds", type=float, default=30.0)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        settings = Settings(data_dir=home)
        with opened(settings) as sessions:
            began = time.monotonic()
            load(sessions, chosen.profiles, chosen.events)
            print(f"loaded in {time.monotonic() - began:.0f} s", flush=True)
            with running(home, free_port(8000), arguments=("--no-worker",)) as url:
                Run(sessions, settings, url, chosen.rate, chosen.seconds).all(chosen.profiles)


def load(sessions: Sessions, profiles: int, events: int) -> None:
    """Write the store, as the pipeline leaves it."""
    with sessions.begin() as session:
        source = sources.add(session, "web")[0].id
    shared = {"source": source, "purpose": PURPOSE, "profiles": profiles}
    for statement in (PEOPLE, GRANTS, TRAITS):
        for first in range(1, profiles + 1, 100_000):
            portion = {"first": first, "last": min(profiles, first + 99_999)}
            with sessions.begin() as session:
                session.execute(sa.text(statement), shared | portion)
    for place in range(PARTS):
        with sessions.begin() as session:
            part = session.scalar(sa.text(OPEN))
            heavy = HEAVY_EVENTS // PARTS
            said = {"part": part, "events": events // PARTS, "heavy": heavy}
            session.execute(sa.text(EVENTS), shared | said)
        if place < PARTS - 1:
            partitions.close_open(sessions)
    with sessions.begin() as session:
        for n in (1, 2):
            rule = {"event": "Order Completed", "count": {"gte": n}}
            row = session.execute(
                sa.text(
                    "INSERT INTO app.segment (key, name, purpose, rule, refreshed_at)"
                    " VALUES (:key, :key, :purpose, CAST(:rule AS jsonb), now()) RETURNING id"
                ),
                {"key": f"s-{n}", "purpose": PURPOSE, "rule": json.dumps(rule)},
            )
            said = {"segment": row.scalar_one(), "first": n}
            session.execute(sa.text(MEMBERS), shared | said)
        session.execute(
            sa.text("UPDATE app.progress SET transaction = pg_current_xact_id(), event_id = 0")
        )
    db.outside_transaction(sessions, ["VACUUM (ANALYZE)", "CHECKPOINT"])


class Run:
    """The measurements on one store."""

    def __init__(
        self, sessions: Sessions, settings: Settings, url: str, rate: float, seconds: float
    ) -> None:
        """Ask the server at `url` so often, for so long each time."""
        self._sessions, self._url = sessions, url
        self._rate, self._seconds = rate, seconds
        self._pid = listener(url)
        scopes = ("profiles:read", "segments:read")
        with sessions.begin() as session:
            made, secret = clients.add(session, "bench", scopes=scopes, purposes=[PURPOSE])
            client_id = made.client_id
        answer = httpx.post(
            f"{url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client_id, secret),
            trust_env=False,
        )
        self._header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        here = settings.model_copy(update={"public_url": url})  # whose tokens are the server's
        self._here = TestClient(create_app(here, sessions), base_url=url)

    def all(self, profiles: int) -> None:
        """Ask for each kind of answer and print the table."""
        dice = random.Random(7)  # noqa: S311 -- a benchmark, no secret

        def somebody() -> str:
            return f"user_id:u-{dice.randint(2, profiles)}"

        asks: dict[str, Callable[[], str]] = {
            "profile by identifier": lambda: f"/v1/profiles/{somebody()}",
            "traits": lambda: f"/v1/profiles/{somebody()}/traits",
            "first page of events": lambda: f"/v1/profiles/{somebody()}/events",
            "heavy profile": lambda: "/v1/profiles/user_id:u-1",
            "heavy profile, first page of events": lambda: "/v1/profiles/user_id:u-1/events",
            "Segment's traits": lambda: (
                f"/v1/spaces/{PURPOSE}/collections/users/profiles/{somebody()}/traits"
            ),
        }
        print(f"{self._rate:g} requests a second, {self._seconds:g} s each")
        print(
            f"{'':<38}{'p50 ms':>8}{'p95 ms':>8}{'p99 ms':>8}{'max ms':>8}"
            f"{'server':>8}{'PG':>8}{'SQL':>5}"
        )
        for name, ask in asks.items():
            for _ in range(60):  # plans and pages are there, as in a server that has run
                self._get(ask())
            one = self._measure(name, ask)
            print(
                f"{one.name:<38}{one.percentile(0.5):>8.1f}{one.percentile(0.95):>8.1f}"
                f"{one.percentile(0.99):>8.1f}{max(one.latencies):>8.1f}{one.server:>8.1f}"
                f"{one.backends:>8.1f}{one.statements:>5}",
                flush=True,
            )

    def _measure(self, name: str, ask: Callable[[], str]) -> Asked:
        due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
        latencies: list[float] = []
        paths = iter(ask, None)
        lock = threading.Lock()

        def work() -> None:
            with httpx.Client(base_url=self._url, headers=self._header, trust_env=False) as client:
                while (at := due.get()) is not None:
                    with lock:
                        path = next(paths)
                    answer = client.get(path, params=self._stated(path))
                    assert answer.status_code == 200, answer.text
                    latencies.append((time.perf_counter() - at) * 1000)

        with self._sessions() as session, _threads(work, CONNECTIONS, due):
            before = cpu.of_tree(self._pid), cpu.of_backends(session)
            start, requests = time.perf_counter(), int(self._rate * self._seconds)
            for n in range(requests):
                at = start + n / self._rate
                time.sleep(max(0.0, at - time.perf_counter()))
                due.put(at)
            while len(latencies) < requests:
                time.sleep(0.01)
            after = cpu.of_tree(self._pid), cpu.of_backends(session)
        server, backends = ((b - a) / requests / 1e6 for a, b in zip(before, after, strict=True))
        return Asked(name, latencies, server, backends, self._statements(ask()))

    def _get(self, path: str) -> None:
        url = f"{self._url}{path}"
        answer = httpx.get(
            url, params=self._stated(path), headers=self._header, trust_env=False, timeout=60
        )
        assert answer.status_code == 200, answer.text

    def _stated(self, path: str) -> dict[str, Any]:
        return {} if path.startswith("/v1/spaces") else {"purpose": PURPOSE}

    def _statements(self, path: str) -> int:
        seen: list[None] = []
        engine = self._sessions.kw["bind"]

        def note(*_: Any) -> None:
            seen.append(None)

        sa.event.listen(engine, "before_cursor_execute", note)
        self._here.get(path, params=self._stated(path), headers=self._header).raise_for_status()
        sa.event.remove(engine, "before_cursor_execute", note)
        return len(seen)


@contextmanager
def _threads(
    work: Callable[[], None], number: int, due: "queue.SimpleQueue[float | None]"
) -> Iterator[None]:
    running_ = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in running_:
        thread.start()
    yield
    for _ in running_:
        due.put(None)
    for thread in running_:
        thread.join()


if __name__ == "__main__":
    main()
