"""Servers, receivers and SDKs for the tests of the whole product."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

from tests.end_to_end.product import Product
from tests.end_to_end.sdk import install

Measure = Callable[[str, object], None]


@contextmanager
def _home() -> Iterator[Path]:
    """A data directory outside pytest's own, which every new run of pytest closes to others.

    PostgreSQL, under its own account where we are root, would find its files gone and panic.
    """
    with TemporaryDirectory(prefix="parcours-e2e-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def prepared() -> Iterator[Path]:
    """A data directory as `parcours migrate` leaves it, to begin with a copy of it.

    Making one takes 3 s of CPU, a copy of it 0.1 s. `test_lifecycle` begins with none.
    """
    with _home() as home:
        made = Product(home)
        done = made.run("migrate")
        assert done.returncode == 0, done.stderr
        yield made.data


@pytest.fixture(scope="module")
def product(prepared: Path) -> Iterator[Product]:
    """A running server that the tests of one file share; matching runs only when asked."""
    with _home() as home:
        running = Product(home, matching_interval_seconds="3600").begin_with(prepared)
        running.start()
        yield running
        running.close()


@pytest.fixture
def own_product(prepared: Path) -> Iterator[Product]:
    """A product of the test's own, not started yet, to stop, kill and start as it likes."""
    with _home() as home:
        made = Product(home).begin_with(prepared)
        yield made
        made.close()


@pytest.fixture
def new_product() -> Iterator[Product]:
    """The same on a machine that has never seen one: there is no data directory yet."""
    with _home() as home:
        made = Product(home)
        yield made
        made.close()


@dataclass(slots=True)
class Received:
    """One request that a webhook receiver got."""

    at: float
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """A webhook receiver on this machine; `answers` are the next statuses, then always 200."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook receiver that keeps what it gets."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            mine.received.append(Received(monotonic(), headers, body))
            self.send_response(mine.answers.pop(0) if mine.answers else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        mine = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield mine
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """A folder with the pinned npm packages and our scripts; skips where node is absent."""
    return install.node_packages()


@pytest.fixture
def measure(record_property: Callable[[str, object], None]) -> Measure:
    """Note a figure; all are printed at the end of the run."""
    return record_property
