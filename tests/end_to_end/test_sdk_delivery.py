"""Published SDKs deliver unchanged: nothing missing, nothing twice, whatever is killed."""

import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from segment.analytics.client import Client

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import Product, wait_until

pytestmark = pytest.mark.long

EVENTS = 400
PEOPLE = 5
Json = dict[str, Any]


def comparable(value: Any) -> Any:
    """JSON as it was read, with every number spelt out: 1 and 1.0 are equal, True and 1 not."""
    if isinstance(value, dict):
        return {key: comparable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [comparable(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return ("number", value, math.copysign(1, value))


def as_sent(message: Json) -> Json:
    """What a message says, in the words of the timeline."""
    content = "traits" if message["type"] in ("identify", "group") else "properties"
    return {
        "type": message["type"],
        "name": message.get("event") or message.get("name"),
        "user_id": message.get("userId"),
        "anonymous_id": message.get("anonymousId"),
        "group_id": message.get("groupId"),
        "previous_id": message.get("previousId"),
        "category": message.get("category"),
        "occurred_at": datetime.fromisoformat(message["timestamp"]),
        "content": comparable(message.get(content) or {}),
        "context": comparable(message["context"]),
    }


def as_read(event: Json) -> Json:
    """What an event of the timeline says."""
    return {
        "type": event["type"],
        "name": event["name"],
        "user_id": event["user_id"],
        "anonymous_id": event["anonymous_id"],
        "group_id": event.get("group_id"),
        "previous_id": event.get("previous_id"),
        "category": event.get("category"),
        "occurred_at": datetime.fromisoformat(event["occurred_at"]),
        "content": comparable(event.get("traits", event.get("properties"))),
        "context": comparable(event["context"]),
    }


def timeline(reader: httpx.Client, reference: str) -> list[Json]:
    """All events of a person, page by page."""
    found: list[Json] = []
    cursor = None
    while True:
        parameters = {"purpose": "service.operation", "limit": "37"}
        page = reader.get(
            f"/v1/profiles/{reference}/events",
            params=parameters | ({"cursor": cursor} if cursor else {}),
        )
        assert page.status_code == 200, page.text
        found += page.json()["data"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found


def everything(reader: httpx.Client, references: Iterable[str], expected: int) -> list[Json]:
    """The timelines of these people, once the server has worked off what it accepted."""

    def read() -> list[Json] | None:
        if any(reader.get(f"/v1/profiles/{r}/identifiers", params={"purpose": "service.operation"})
               .status_code != 200 for r in references):  # fmt: skip
            return None
        found = [event for r in references for event in timeline(reader, r)]
        return found if len(found) >= expected else None

    return wait_until(read, 30, what=f"{expected} events in profiles")


def assert_delivered(sent: Iterable[Json], read: list[Json]) -> None:
    """What was sent is what is read: no event less, none more, each as it was."""
    wanted = {message["messageId"]: as_sent(message) for message in sent}
    found = {event["message_id"]: as_read(event) for event in read}
    assert len(read) == len(found), "an event is there twice"
    assert found.keys() == wanted.keys()
    for key, event in wanted.items():
        assert found[key] == event
    newest_first = [event["occurred_at"] for event in read]
    assert len(newest_first) == len(wanted)


@dataclass(slots=True)
class Killer:
    """Kills the server again and again while events are being sent."""

    product: Product
    kills: int = 0
    longest: float = 0.0

    def strike(self) -> None:
        """`kill -9`, a moment of nothing, and a restart on the same data."""
        started = time.monotonic()
        self.product.kill()
        time.sleep(0.5)
        self.product.restart()
        self.kills += 1
        self.longest = max(self.longest, time.monotonic() - started)


@contextmanager
def struck(action: Callable[[], None], *, after: float) -> Iterator[None]:
    """Do something to the server a while after the start of the block; wait for it at the end."""
    failures: list[BaseException] = []

    def later() -> None:
        time.sleep(after)
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=later)
    thread.start()
    yield
    thread.join()
    assert not failures, failures


PROPERTIES: Json = {
    "price": 0.1 + 0.2,
    "tiny": 5e-324,
    "large": 1e300,
    "below": -0.0,
    "whole": 2**53 + 1,
    "text": "Zoë 🛒 \u2028 \"'\\ \t",
    "العربية": "日本語",
    "nested": {"list": [1, "two", {"three": 3.5}, None, []], "empty": {}},
    "yes": True,
    "nothing": None,
}


def python_call(client: Client, n: int, prefix: str) -> Json:
    """Call number `n` of the six kinds; what the SDK says that it queued."""
    user = f"{prefix}-{n % PEOPLE}"
    device, at = f"{user}-device", datetime(2026, 1, 1, 0, n // 60, n % 60, 123_000, tzinfo=UTC)
    properties = {**PROPERTIES, "n": n}
    kind = n % 8
    if kind == 0:
        answer = client.identify(user, {"name": "Zoë", "n": n}, anonymous_id=device, timestamp=at)
    elif kind == 1:
        answer = client.page(user, "Shop", "Pâge", properties, timestamp=at)
    elif kind == 2:
        answer = client.screen(user, "App", "Écran", properties, timestamp=at)
    elif kind == 3:
        answer = client.group(user, f"g-{n}", {"plan": "pro"}, timestamp=at)
    elif kind == 4:
        answer = client.alias(f"{user}-earlier", user, timestamp=at)
    elif kind == 5:
        answer = client.track(None, "Browsed", properties, anonymous_id=device, timestamp=at)
    else:
        answer = client.track(user, "Order Completed 日本", properties, timestamp=at)
    queued, message = answer
    assert queued
    sent: Json = message
    return sent


def send_with_python(
    product: Product, key: str, prefix: str, *, gzip: bool, pause: float = 0.005
) -> tuple[list[Json], list[object]]:
    """Send EVENTS through segment-analytics-python; what it sent, and what it gave up.

    The retries are generous, as a user who cares would set them. By itself the SDK gives a batch
    up after `max_retries` failures (default 10, some 4 minutes) or after
    `max_total_backoff_duration` (default 12 hours) and reports it to `on_error`; an event over
    32 KB is never sent; one that is queued when the process ends is lost.
    """
    given_up: list[object] = []

    def give_up(error: Exception, batch: Mapping[str, Any]) -> None:
        given_up.append(error)

    client = Client(
        key,
        host=product.url,
        gzip=gzip,
        max_retries=50,
        max_total_backoff_duration=120,
        upload_size=20,
        on_error=give_up,
    )
    sent = []
    for n in range(EVENTS):
        sent.append(python_call(client, n, prefix))
        time.sleep(pause)
    client.flush()
    client.shutdown()
    return sent, given_up


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
def test_the_python_sdk_delivers_everything_once_through_two_kills_of_the_server(
    own_product: Product, measure: Measure, gzip: bool
) -> None:
    own_product.start()
    key, reader = own_product.add_source(), own_product.add_client()
    killer = Killer(own_product)

    def twice() -> None:
        killer.strike()
        time.sleep(0.3)
        killer.strike()

    with struck(twice, after=0.8):
        sent, given_up = send_with_python(own_product, key, "py", gzip=gzip, pause=0.015)
    assert (given_up, killer.kills) == ([], 2)
    read = everything(reader, [f"user_id:py-{n}" for n in range(PEOPLE)], EVENTS)
    measure("events sent and read", f"{len(sent)} and {len(read)}")
    measure("longest outage s", round(killer.longest, 2))
    assert_delivered(sent, read)
    assert {message["type"] for message in sent} == {
        "identify", "page", "screen", "group", "alias", "track",
    }  # fmt: skip


def test_the_node_sdk_delivers_everything_once_through_two_kills_of_the_server(
    own_product: Product, measure: Measure, node_packages: Path
) -> None:
    own_product.start()
    key, reader = own_product.add_source(), own_product.add_client()
    killer = Killer(own_product)

    def twice() -> None:
        killer.strike()
        time.sleep(0.3)
        killer.strike()

    with struck(twice, after=1.0):
        done = subprocess.run(
            ["node", "send.mjs", own_product.url, key, str(EVENTS), str(PEOPLE)],
            cwd=node_packages,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.split("\n") if line]
    sent = [line["sent"] for line in lines if "sent" in line]
    assert [line for line in lines if "failed" in line] == []
    assert (len(sent), killer.kills) == (EVENTS, 2)
    read = everything(reader, [f"user_id:njs-{n}" for n in range(PEOPLE)], EVENTS)
    measure("events sent and read", f"{len(sent)} and {len(read)}")
    measure("longest outage s", round(killer.longest, 2))
    assert_delivered(sent, read)


def test_the_python_sdk_delivers_everything_once_through_a_kill_of_postgresql(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    key, reader = own_product.add_source(), own_product.add_client()
    down: list[float] = []

    def kill_and_see() -> None:
        killed = own_product.postmaster()
        started = time.monotonic()
        own_product.kill_postgres()
        wait_until(
            lambda: (
                httpx.get(f"{own_product.url}/readyz", trust_env=False).status_code == 200
                and own_product.postmaster() != killed
            ),
            30,
            what="the server recovers by itself",
        )
        down.append(time.monotonic() - started)

    with struck(kill_and_see, after=1.0):
        sent, given_up = send_with_python(own_product, key, "py", gzip=True, pause=0.01)
    assert given_up == []
    read = everything(reader, [f"user_id:py-{n}" for n in range(PEOPLE)], EVENTS)
    measure("events sent and read", f"{len(sent)} and {len(read)}")
    measure("recovered after s", round(down[0], 2))
    assert_delivered(sent, read)
