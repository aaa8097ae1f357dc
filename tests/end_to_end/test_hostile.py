"""Nothing that is sent gets a 5xx, stops a neighbour, the worker or a read, or fills memory."""

import asyncio
import gzip
import json
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.end_to_end.conftest import Measure
from tests.end_to_end.hostile import BATCH, Hostile, Maker
from tests.end_to_end.kills import Chaos
from tests.end_to_end.product import PURPOSES, Product, wait_until

pytestmark = pytest.mark.long

AT_ONCE = 12
#: Far more than any of these requests takes on a machine that does nothing else.
ANSWER_SECONDS = 60
MOST_MEMORY = 300 * 1024 * 1024


@dataclass(slots=True)
class Answers:
    """What was answered: how often each status, what was wrong, which good events are stored."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    again: int = 0


async def exchange(port: int, raw: bytes) -> tuple[int, bytes, bytes]:
    """Send bytes and return status, head and body of the answer; status 0 when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        try:
            await writer.drain()
        except ConnectionError:
            pass  # it was refused before it was whole; the answer may be there
        try:
            text = await reader.read(-1)
        except ConnectionError:
            return 0, b"", b""
    finally:
        writer.close()
    while text.startswith(b"HTTP/1.1 100"):
        text = text.partition(b"\r\n\r\n")[2]
    head, _, body = text.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return 0, head, body
    return int(head[9:12]), head, body


async def ask(port: int, hostile: Hostile, answers: Answers) -> None:
    """Send one request, again while the server has no room for it, and judge the answer."""
    for _ in range(100):
        try:
            status, head, body = await asyncio.wait_for(exchange(port, hostile.raw), ANSWER_SECONDS)
        except TimeoutError:
            answers.wrong.append(f"{hostile.name}: no answer")
            return
        if status != 503 or b'"over-capacity"' not in body:
            break
        answers.again += 1
        await asyncio.sleep(0.2)
    answers.statuses[status] += 1
    if status == 200 and hostile.good:
        answers.stored |= set(hostile.good)
    if hostile.name == "good" and status != 200:
        answers.wrong.append(f"good: {status} {body[:200]!r}")
    elif reason := _fault(hostile, status, head, body):
        answers.wrong.append(f"{hostile.name}: {reason} {status} {body[:200]!r}")


def _fault(hostile: Hostile, status: int, head: bytes, body: bytes) -> str:
    if status == 0:
        return "" if hostile.protocol else "connection closed"
    if not 200 <= status < 500:
        return "status"
    if hostile.protocol and b"application/problem+json" not in head:
        return ""
    if b"access-control-allow-origin" not in head.lower():
        return "no CORS"
    try:
        said = json.loads(body)
    except ValueError:
        return "not JSON"
    if status >= 400:
        return "" if said.get("code") and said.get("message") else "no code and message"
    return ""


async def ask_all(port: int, requests: Iterator[Hostile]) -> Answers:
    """Send all, some at once."""
    answers = Answers()

    async def work() -> None:
        for hostile in requests:
            await ask(port, hostile, answers)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return answers


def with_good_ones(maker: Maker, cases: list[Hostile]) -> Iterator[Hostile]:
    """Yield the cases with a request of a good customer after every tenth."""
    for number, case in enumerate(cases):
        yield case
        if number % 10 == 0:
            yield maker.good()


def test_thousands_of_hostile_requests_get_no_5xx_and_cost_no_neighbour_anything(
    product: Product, measure: Measure
) -> None:
    seed = random.randrange(1_000_000)  # noqa: S311  # printed, to be repeated
    key = product.add_source("hostile")
    maker = Maker(key, seed)
    cases = list(maker.all())
    distinct = len({case.raw for case in cases})
    measure("seed and distinct requests", (seed, distinct))
    assert distinct > 2_000
    answers = asyncio.run(ask_all(product.port, with_good_ones(maker, cases)))
    measure("statuses", dict(sorted(answers.statuses.items())))
    measure("asked to come again", answers.again)
    assert answers.wrong[:20] == [], len(answers.wrong)
    with product.tables() as session:
        stored = Counter(
            session.scalars(
                sa.text("SELECT message_id FROM app.event WHERE message_id LIKE 'good-%'")
            )
        )
    assert answers.stored == stored.keys()
    assert set(stored.values()) == {1}
    assert len(stored) > 1_000


def test_the_worker_gets_past_all_of_it_and_every_read_answers(product: Product) -> None:
    reader = product.add_client(name="everything")
    wait_until(
        lambda: reader.get("/readyz").json().get("backlog") == 0, 180, what="the pipeline is done"
    )
    with product.tables() as session:
        last = session.scalar(sa.text("SELECT max(id) FROM app.event"))
    assert last, "the test before this one sends what this one looks at"

    def copied() -> bool:
        with product.tables() as session:
            mark = session.scalar(sa.text("SELECT event_id FROM app.progress WHERE reader='lake'"))
            return bool(mark >= last)

    wait_until(copied, 180, what="the lake has everything")
    answers = {path: reader.get(path, params=parameters) for path, parameters in _reads(reader)}
    failed = {path: (a.status_code, a.text[:200]) for path, a in answers.items() if a.is_error}
    assert {path: what for path, what in failed.items() if what[0] >= 500} == {}
    assert {path: what for path, what in failed.items() if what[0] != 404} == {}
    errors = product.output("err").read_text()
    assert "failed" not in errors, errors[-2000:]


def _reads(reader: httpx.Client) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what can be read of everybody."""
    purpose = {"purpose": "service.operation", "limit": "1000"}
    cursor: str | None = None
    people: list[str] = []
    while True:
        page = reader.get("/v1/profiles", params=purpose | ({"cursor": cursor} if cursor else {}))
        assert page.status_code == 200, page.text
        people += [profile["profile_id"] for profile in page.json()["data"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert len(people) > 50
    for person in people:
        for part in ("", "/traits", "/events", "/identifiers", "/segments", "/journeys"):
            limit = {"limit": "1000"} if part == "/events" else {}
            yield f"/v1/profiles/{person}{part}", {"purpose": PURPOSES[0]} | limit
        for part in ("/consents", "/merges", "/explain"):
            yield f"/v1/profiles/{person}{part}", {}
    yield "/v1/rejected-events", {"limit": "1000"}
    yield "/v1/rejected-events/counts", {}
    yield "/v1/changes", {"limit": "1000"}
    yield "/v1/identity/reviews", {}


class Memory:
    """The most memory that the processes which answer requests have ever used."""

    def __init__(self, product: Product) -> None:
        """Look at these processes."""
        assert product.process is not None
        self._pids = [product.process.pid, *Chaos(product, 0).children()]

    def most(self) -> int:
        """Return the peak of the largest, in bytes."""
        return max(self._peak(pid) for pid in self._pids)

    def _peak(self, pid: int) -> int:
        [line] = [
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        ]
        return int(line.split()[1]) * 1024


def bomb(size: int, *, members: int = 1) -> bytes:
    """Return gzip of `size` bytes of JSON; several members are several files in one."""
    part = gzip.compress(b'{"batch":[' + b" " * (size // members), 9)
    return part * members


def posted(key: str, body: bytes, *, coding: str = "", chunked: bool = False) -> bytes:
    """Return a request with this body."""
    return Maker(key, 0).request(BATCH, body, coding=coding, chunked=chunked)


async def slowly(port: int, raw: bytes, seconds: float) -> int:
    """Send a request piece by piece and return the status of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pieces = 20
    size = len(raw) // pieces + 1
    try:
        for at in range(0, len(raw), size):
            writer.write(raw[at : at + size])
            await writer.drain()
            await asyncio.sleep(seconds / pieces)
    except ConnectionError:
        pass  # refused before it was whole; the answer may be there
    try:
        line = await reader.readline()
    except ConnectionError:
        line = b""
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0


async def vanish(port: int, raw: bytes) -> None:
    """Send a request and leave before its answer, or before its end."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    writer.transport.abort()


async def endless(port: int, part: bytes) -> int:
    """Send headers without end and return how many bytes went before the server ended it."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/batch HTTP/1.1\r\n")
    sent = 0
    try:
        while sent < 50_000_000:
            writer.write(part)
            sent += len(part)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return sent


@pytest.fixture
def key(product: Product) -> str:
    return product.add_source(f"memory-{time.monotonic_ns()}")


def big_batch(prefix: str, events: int) -> bytes:
    """Return a batch of so many events of 300 bytes."""
    return json.dumps(
        {
            "batch": [
                {
                    "type": "track",
                    "event": "Big",
                    "messageId": f"{prefix}-{n}",
                    "userId": f"big-{n % 500}",
                    "properties": {"n": n, "text": "x" * 120, "list": [1, 2, {"a": n}]},
                }
                for n in range(events)
            ]
        }
    ).encode()


async def answered(port: int, raws: list[bytes]) -> Counter[int]:
    """Send these at once and count the statuses."""
    found = await asyncio.gather(
        *(asyncio.wait_for(exchange(port, raw), ANSWER_SECONDS * 3) for raw in raws)
    )
    return Counter(status for status, _, _ in found)


def test_gzip_bombs_slow_bodies_and_huge_batches_leave_memory_below_300_mb(
    product: Product, key: str, measure: Measure
) -> None:
    memory = Memory(product)
    port = product.port
    measure("MB before", memory.most() >> 20)

    small = bomb(1_000_000_000)
    bombs = [posted(key, small, coding="gzip", chunked=n % 2 == 1) for n in range(4)]
    many = gzip.compress(b'{"batch":[') + gzip.compress(b" " * 1_000_000, 9) * 1_000
    bombs += [posted(key, many, coding="gzip"), posted(key, gzip.compress(small), coding="gzip")]
    statuses = asyncio.run(answered(port, bombs))
    assert set(statuses) <= {400, 413}, statuses
    measure("MB after six bombs of 1 GB", memory.most() >> 20)

    body = b'{"batch":[],"x":"' + b"x" * 4_490_000 + b'"}'
    slow = posted(key, body)

    async def forty() -> list[int]:
        return list(await asyncio.gather(*(slowly(port, slow, 4) for _ in range(40))))

    statuses = Counter(asyncio.run(forty()))
    assert set(statuses) <= {200, 503}, statuses
    assert statuses[200] > 0
    measure("MB after 40 slow bodies of 4.5 MB", (memory.most() >> 20, dict(statuses)))

    seen: Counter[int] = Counter()
    for turn in range(2):
        raws = [posted(key, big_batch(f"b{turn}-{n}", 5_000)) for n in range(32)]
        seen += asyncio.run(answered(port, raws))
    assert set(seen) <= {200, 503}, seen
    assert seen[200] > 0
    measure("MB after 64 batches of 5,000 events", (memory.most() >> 20, dict(seen)))

    # What is small as bytes and large when parsed: one event full of empty objects, or lists.
    raws = []
    for tiny, size in ((b"{}", 1_000_000), (b"[]", 1_000_000), (b"{}", 60_000), (b'""', 900_000)):
        filler = b",".join([tiny] * (size // (len(tiny) + 1)))
        body = b'{"batch":[{"type":"track","event":"x","userId":"u","properties":{"x":[%s]}}]}'
        raws += [posted(key, body % filler)] * 32
    seen = asyncio.run(answered(port, raws))
    assert set(seen) <= {200, 413, 503}, seen
    measure("MB after 128 bodies of tiny values", (memory.most() >> 20, dict(seen)))

    async def headers() -> list[int]:
        parts = [b"x: y\r\n" * 1_000, b"x: " + b"y" * 10_000] * 4
        return list(await asyncio.gather(*(endless(port, part) for part in parts)))

    assert max(asyncio.run(headers())) < 20_000_000
    measure("MB after eight heads without end", memory.most() >> 20)

    async def leaving() -> None:
        raw = posted(key, big_batch("left", 500))
        for n in range(100):
            await vanish(port, raw[: len(raw) * (n % 5 + 1) // 5])

    asyncio.run(leaving())
    assert httpx.get(f"{product.url}/healthz", trust_env=False, timeout=30).status_code == 200
    peak = memory.most()
    measure("MB at most", peak >> 20)
    assert peak < MOST_MEMORY


def test_a_retry_after_503_stores_every_event_of_the_huge_batches_once(
    product: Product, key: str
) -> None:
    answers = Answers()
    authorization = b"Basic " + b64encode(f"{key}:".encode())

    async def all_() -> None:
        maker = Maker(key, 0)
        cases = []
        for n in range(8):
            raw = maker.request(BATCH, big_batch(f"again-{n}", 2_500), authorization=authorization)
            cases += [Hostile(f"batch {n}", raw), Hostile(f"batch {n} again", raw)]
        await asyncio.gather(*(ask(product.port, case, answers) for case in cases))

    asyncio.run(all_())
    assert answers.wrong == []
    found: dict[str, Any]
    with product.tables() as session:
        found = dict(
            session.execute(
                sa.text(
                    "SELECT count(*) AS rows, count(DISTINCT message_id) AS ids "
                    "FROM app.event WHERE message_id LIKE 'again-%'"
                )
            )
            .mappings()
            .one()
        )
    assert found == {"rows": 20_000, "ids": 20_000}
