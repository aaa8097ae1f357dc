"""What an event costs from HTTP into PostgreSQL, beside COPY of the same rows into the same table.

    make bench        (or: python -m benchmarks.ingest --rounds 5 --events 10000)

The server is `parcours serve --no-worker` in a process of its own; the events are a website's:
5,000 visitors who come again and one in ten new, consent stamp on every event. They are sent over
loopback by 32 connections in requests of 100 and of 20 events and one by one (to the version
for comparison by one connection, because several make it answer 500 when they meet). The limit is
COPY of rows that the server wrote, under new ids, into app.event itself, hence with its indexes and
partitions. For comparison the same requests go to a plain FastAPI and ORM version of the same work
(`orm_app.py`). All take turns, because the machine is noisy, and what counts is CPU time as the
kernel counts it: of the server's processes and of the PostgreSQL backends, the client's own left
out. `ratio` is the CPU of COPY divided by that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import sqlalchemy as sa

from api.cli.product import add_sources, free_port, running
from api.cli.session import opened
from app.db import Sessions
from app.settings import Settings
from benchmarks import cpu
from benchmarks.load import Sent, send
from benchmarks.stitch import Message, web


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of sending: to which server, events in a request, connections."""

    name: str
    orm: bool
    size: int
    connections: int
    share: float = 1.0


VARIANTS = (
    Variant("100 a request", False, 100, 32),
    Variant("20 a request", False, 20, 32),
    Variant("1 a request", False, 1, 32, 0.2),
    Variant("ORM, 100 a request", True, 100, 1, 0.1),
    Variant("ORM, 20 a request", True, 20, 1, 0.1),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU per event in microseconds, and what the clients saw."""

    server: float
    backends: float
    sent: Sent | None = None

    @property
    def total(self) -> float:
        """Server and PostgreSQL together."""
        return self.server + self.backends


def main() -> None:
    """Run the rounds and print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--events", type=int, default=10_000, help="of each variant and round")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="parcours-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        with (
            opened(Settings(data_dir=home)) as sessions,
            running(home, free_port(8000), arguments=("--no-worker",)) as url,
            _orm_server(sessions) as orm_url,
        ):
            Run(sessions, url, orm_url).compare(chosen.rounds, chosen.events)


@contextmanager
def _orm_server(sessions: Sessions) -> Iterator[str]:
    """Run the version for comparison as uvicorn runs any application."""
    port = free_port(8100)
    database = sessions.kw["bind"].url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "benchmarks.orm_app:app", "--port", str(port),
         "--log-level", "warning", "--no-access-log"],
        env={**os.environ, "BENCH_DATABASE_URL": database},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                httpx.get(f"{url}/", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


class Run:
    """The measurements on one database."""

    def __init__(self, sessions: Sessions, url: str, orm_url: str) -> None:
        """Measure the server at `url`, and the one for comparison."""
        self._sessions = sessions
        self._urls = {False: url, True: orm_url}
        self._pids = {plain: listener(address) for plain, address in self._urls.items()}
        self._key = add_sources(sessions, {"bench": "service.operation"})["bench"]

    def compare(self, rounds: int, events: int) -> None:
        """Measure every variant and COPY once a round; print medians."""
        pieces = web(-(-rounds * len(VARIANTS) // 3) + 1, events)
        self._measure(VARIANTS[0], next(pieces))  # the visitors' first day is nobody's cost
        for plain in VARIANTS[3:]:
            self._measure(plain, next(pieces)[: events // 20])
        costs: dict[str, list[Cost]] = defaultdict(list)
        limits: list[float] = []
        for number in range(rounds):
            turn = number % len(VARIANTS)
            for variant in VARIANTS[turn:] + VARIANTS[:turn]:
                piece = next(pieces)[: int(events * variant.share)]
                costs[variant.name].append(self._measure(variant, piece))
            limits.append(self._copy(events))
        _print(costs, limits)

    def _measure(self, variant: Variant, messages: list[Message]) -> Cost:
        bodies = [
            json.dumps(
                {
                    "batch": [
                        {**m, "messageId": str(uuid4())} for m in messages[at : at + variant.size]
                    ],
                    "writeKey": self._key,
                }
            ).encode()
            for at in range(0, len(messages), variant.size)
        ]
        pid = self._pids[variant.orm]
        with self._sessions() as session:
            server, backends = cpu.of_tree(pid), cpu.of_backends(session)
            sent = send(self._urls[variant.orm], "/v1/batch", bodies, variant.connections)
            backends = cpu.of_backends(session) - backends
            server = cpu.of_tree(pid) - server
        assert sent.rejected == 0, sent
        assert sent.accepted == len(messages), (sent.accepted, len(messages))
        return Cost(server / sent.accepted / 1000, backends / sent.accepted / 1000, sent)

    def _copy(self, events: int) -> float:
        """COPY as many rows, in one commit, and return the backend's CPU per row."""
        with self._sessions.begin() as session:
            columns = ", ".join(
                session.scalars(
                    sa.text(
                        "SELECT quote_ident(column_name) FROM information_schema.columns WHERE "
                        "table_schema = 'app' AND table_name = 'event' AND column_name NOT IN "
                        "('id', 'transaction', 'message_id') ORDER BY ordinal_position"
                    )
                )
            )
            driver = session.connection().connection.driver_connection
            assert driver is not None
            with (
                driver.cursor() as cursor,
                cursor.copy(
                    f"COPY (SELECT {columns}, gen_random_uuid()::text FROM app.event "  # noqa: S608 -- names from the catalogue
                    f"ORDER BY id DESC LIMIT {events}) TO STDOUT"
                ) as out,
            ):
                rows = b"".join(bytes(block) for block in out)
        with self._sessions.begin() as session:
            driver = session.connection().connection.driver_connection
            assert driver is not None
            before = cpu.of_backends(session)
            with driver.cursor() as cursor:
                with cursor.copy(f"COPY app.event ({columns}, message_id) FROM STDIN") as copy:
                    copy.write(rows)
                assert cursor.rowcount == events
            driver.commit()
            return (cpu.of_backends(session) - before) / events / 1000


def listener(url: str) -> int:
    """Return the process that listens at an address."""
    port = int(url.rpartition(":")[2])
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return _owner(f"socket:[{fields[9]}]")
    raise RuntimeError(f"nobody listens at {url}")


def _owner(socket: str) -> int:
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == socket:
                return int(link.parts[2])
        except OSError:
            continue
    raise RuntimeError("no process owns the socket")


def _print(costs: dict[str, list[Cost]], limits: list[float]) -> None:
    limit = statistics.median(limits)
    print(f"{'CPU µs per event':<22}{'server':>8}{'PG':>8}{'total':>8}{'ratio':>8}"
          f"{'lowest':>8}{'highest':>8}{'events/s':>10}{'p50 ms':>8}{'p99 ms':>8}")  # fmt: skip
    print(f"{'COPY':<22}{'':>8}{limit:>8.1f}{limit:>8.1f}{1:>8.3f}"
          f"{limit / max(limits):>8.3f}{limit / min(limits):>8.3f}")  # fmt: skip
    for variant in VARIANTS:
        found = costs[variant.name]
        ratios = [copy / cost.total for copy, cost in zip(limits, found, strict=True)]
        rows = [cost.sent for cost in found if cost.sent]
        print(
            f"{variant.name:<22}{_median(c.server for c in found):>8.1f}"
            f"{_median(c.backends for c in found):>8.1f}{_median(c.total for c in found):>8.1f}"
            f"{statistics.median(ratios):>8.3f}{min(ratios):>8.3f}{max(ratios):>8.3f}"
            f"{_median(s.accepted / s.seconds for s in rows):>10,.0f}"
            f"{_median(s.percentile(0.5) for s in rows):>8.1f}"
            f"{_median(s.percentile(0.99) for s in rows):>8.1f}"
        )
    for size in ("100 a request", "20 a request"):
        times = [
            plain.total / ours.total
            for plain, ours in zip(costs[f"ORM, {size}"], costs[size], strict=True)
        ]
        print(f"{size}: the plain FastAPI and ORM version costs {statistics.median(times):.1f} × "
              f"as much [{min(times):.1f} to {max(times):.1f}]")  # fmt: skip
    print(f"{len(limits)} interleaved rounds; CPU of server and PostgreSQL backends, medians")


def _median(values: Iterator[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    main()
