"""A disk that fills up costs requests, which are told so, and never an acknowledged event."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, wait_until

pytestmark = pytest.mark.long

DISK = 420_000_000
BATCH = 200


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk of the test's own; skips, visibly, where nothing may be mounted."""
    folder = Path(mkdtemp(prefix="parcours-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0755", "tmpfs", folder],
        capture_output=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no disk of a stated size can be mounted here: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


class Filler:
    """A file that leaves so little room on the disk as is asked for."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "filler"

    def leave(self, room: int) -> None:
        with self.path.open("ab") as file:
            while (free := os.statvfs(self.path).f_bavail * 4096 - room) > 0:
                file.write(bytes(min(free, 2**20)))
                file.flush()

    def remove(self) -> None:
        self.path.unlink()


class Client:
    """Sends batches and remembers what was acknowledged."""

    def __init__(self, product: Product, key: str) -> None:
        self.http = product._open.enter_context(
            httpx.Client(base_url=product.url, auth=(key, ""), trust_env=False, timeout=60)
        )
        self.sent = 0
        self.acknowledged: set[str] = set()

    def send(self) -> httpx.Response:
        events = [
            {"type": "track", "event": "E", "userId": f"u-{n}", "messageId": f"m-{n}",
             "properties": {"filler": f"{n:x}" * 200}}
            for n in range(self.sent, self.sent + BATCH)
        ]  # fmt: skip
        self.sent += BATCH
        answer = self.http.post("/v1/batch", json={"batch": events})
        if answer.status_code == 200:
            assert answer.json()["accepted"] == BATCH
            self.acknowledged |= {str(e["messageId"]) for e in events}
        return answer

    def until(self, status: int, seconds: float) -> httpx.Response:
        deadline = time.monotonic() + seconds
        while (answer := self.send()).status_code != status:
            assert answer.status_code in (200, 503), answer.text
            assert time.monotonic() < deadline, answer.text
            if answer.status_code == 503:
                time.sleep(0.2)
        return answer


def ready(product: Product) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{product.url}/readyz", trust_env=False, timeout=10)
    return answer.status_code, answer.json()


def stored(product: Product) -> list[str]:
    with product.tables() as session:
        return list(session.scalars(sa.text("SELECT message_id FROM app.event")))


def test_with_little_room_left_events_are_refused_before_the_database_is_in_trouble(
    disk: Path,
) -> None:
    product, filler = Product(disk, least_free_bytes="100000000"), Filler(disk)
    try:
        product.start()
        client = Client(product, product.add_source())
        assert client.send().status_code == 200
        filler.leave(90_000_000)
        answer = client.until(503, 5)
        assert answer.json()["code"] == "storage-full"
        assert answer.headers["Retry-After"]
        status, said = ready(product)
        assert (status, said["status"], said["database"]) == (503, "unavailable", "up")
        assert "free" in said["reasons"][0]
        filler.remove()
        client.until(200, 5)
        assert ready(product)[0] == 200
        assert sorted(stored(product)) == sorted(client.acknowledged)
    finally:
        product.close()


def test_a_database_whose_disk_is_full_refuses_recovers_and_has_all_it_acknowledged(
    disk: Path, measure: Measure
) -> None:
    product, filler = Product(disk, least_free_bytes="0"), Filler(disk)
    try:
        product.start()
        client = Client(product, product.add_source())
        client.send().raise_for_status()
        for _ in range(2):
            filler.leave(6_000_000)
            answer = client.until(503, 60)
            problem = answer.json()
            assert problem["code"] == "database-unavailable", problem
            assert problem["message"]
            assert answer.headers["Retry-After"]
            for _ in range(20):  # however often it is asked, and whatever it crashes on
                assert client.send().status_code in (200, 503)
            status, said = ready(product)
            assert said["status"] in ("unavailable", "ready", "degraded")
            assert (status == 503) == (said["status"] == "unavailable")
            filler.remove()
            since = time.monotonic()
            client.until(200, 60)
            measure("accepts again after s", round(time.monotonic() - since, 2))
            wait_until(lambda: ready(product)[0] == 200, 30)
        have = stored(product)
        measure("acknowledged", len(client.acknowledged))
        measure("stored", len(have))
        assert len(have) == len(set(have))
        assert client.acknowledged <= set(have)
        filler.leave(0)
        assert client.until(503, 60).json()["code"] == "database-unavailable"
        measure("stop on a full disk s", round(product.stop(), 2))
    finally:
        product.close()


def test_a_server_stops_in_time_while_its_database_cannot_start(disk: Path) -> None:
    product, filler = Product(disk, least_free_bytes="0"), Filler(disk)
    try:
        product.start()
        filler.leave(0)
        product.kill_postgres()
        wait_until(lambda: ready(product)[0] == 503, 15)
        time.sleep(3)
        assert product.stop() < 10
        filler.remove()
        product.restart()
        assert ready(product)[0] == 200
    finally:
        product.close()
