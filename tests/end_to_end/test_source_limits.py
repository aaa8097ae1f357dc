"""Sources on real servers: counters through kill -9, keys and limits through a published SDK."""

import threading
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from segment.analytics.client import Client

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, wait_until

pytestmark = pytest.mark.long

SENDERS = 6


@pytest.fixture
def running(own_product: Product) -> Product:
    """Two server processes on one database."""
    own_product.start("--workers", "2")
    return own_product


def stored(product: Product, source_id: int) -> set[str]:
    with product.tables() as session:
        query = sa.text("SELECT message_id FROM app.event WHERE source_id = :id")
        return set(session.scalars(query, {"id": source_id}))


class Load:
    """Senders that send each batch until it is acknowledged, with the newest key they know."""

    def __init__(self, product: Product, write_key: str) -> None:
        self.keys = [write_key]
        self.url = product.url
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(SENDERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        number = 0
        with httpx.Client(base_url=self.url, trust_env=False, timeout=10) as http:
            while not self._stop.is_set():
                ids = [f"{sender}-{number}-{n}" for n in range(20)]
                number += 1
                batch = [
                    {"type": "track", "event": "A", "userId": f"u-{sender}", "messageId": i}
                    for i in ids
                ]
                self._until_acknowledged(http, {"batch": batch})
                self.acknowledged.update(ids)

    def _until_acknowledged(self, http: httpx.Client, body: dict[str, Any]) -> None:
        while True:
            with suppress(httpx.HTTPError):
                answer = http.post("/v1/batch", json=body, auth=(self.keys[-1], ""))
                if answer.status_code == 200:
                    return
                if answer.status_code < 500:
                    self.refused.append(answer.text)
                    return
            time.sleep(0.1)


def test_counters_are_those_of_the_table_after_kill_9_and_a_rotation_loses_nothing(
    running: Product, measure: Measure
) -> None:
    made = running.cli("source", "add", "web")
    with Load(running, made["write_key"]) as load:
        wait_until(lambda: len(load.acknowledged) > 200, 30)
        load.keys.append(running.cli("source", "rotate-key", "web")["write_key"])
        wait_until(lambda: len(load.acknowledged) > 600, 30)
        running.kill_everything()
        running.start("--workers", "2")
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 400, 60)
    assert load.refused == []
    found = stored(running, made["id"])
    shown = running.cli("source", "show", "web")
    counts = shown["last_day"]
    measure("acknowledged, stored, counted", (len(load.acknowledged), len(found), counts))
    assert load.acknowledged - found == set()
    assert counts["accepted"] == len(found)
    assert counts["received"] == counts["accepted"] + counts["duplicate"]
    assert [bool(key["expires_at"]) for key in shown["keys"]] == [True, False]


def test_a_published_sdk_waits_as_long_as_a_rate_limit_says_and_loses_nothing(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    made = own_product.cli(
        "source", "add", "web", "--events-per-second", "40", "--burst", "40"
    )  # fmt: skip
    failed: list[object] = []
    started = time.monotonic()
    client = Client(
        made["write_key"],
        host=own_product.url,
        on_error=lambda error, _: failed.append(error),
        upload_size=20,
        upload_interval=0.05,
    )
    for number in range(160):
        client.track(f"u-{number % 3}", "A", message_id=f"m-{number}")
    client.shutdown()
    seconds = time.monotonic() - started
    assert failed == []
    assert len(stored(own_product, made["id"])) == 160
    counts = own_product.cli("source", "show", "web")["last_day"]
    measure("160 events at 40 a second, in seconds; counted", (round(seconds, 1), counts))
    assert seconds > 2.5
    assert counts["accepted"] == 160
    assert counts["rejected"].keys() == {"rate-limited"}
