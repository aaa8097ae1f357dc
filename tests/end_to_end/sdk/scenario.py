"""What every server SDK is made to send, and what must then be stored of it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.access import sources
from tests.end_to_end.product import Product
from tests.end_to_end.sdk import install
from tests.end_to_end.sdk.rows import Sdk

Json = dict[str, Any]
DRIVER = Path(__file__).parent / "python" / "drive.py"
AT = "2024-02-03T04:05:06.789+00:00"
#: What a loaded machine may take between an SDK's `sentAt` and our receipt. A time that is read
#: from the wrong field is off by years.
TOLERANCE = timedelta(seconds=10)
PROPERTIES: Json = {
    "price": 0.1 + 0.2,
    "whole": 2**53,
    "text": "Zoë 🛒 \u2028 \"'\\ \t",
    "العربية": "日本語",
    "nested": {"list": [1, "two", {"three": 3.5}, []], "empty": {}, "yes": True},
    "nothing": None,
}
STORED = (
    "SELECT type, name, message_id, user_id, anonymous_id, occurred_at, properties, context"
    " FROM app.event WHERE source_id = :source"
)


@dataclass(slots=True)
class Run:
    """One SDK's run: what it was told to send, for whom, and what it says of it."""

    sdk: Sdk
    key: str
    source_id: int
    person: str
    calls: list[Json] = field(default_factory=list)
    host: str = ""
    hold: int = -1
    retries: int = 60
    batch: int = 5
    failed: list[str] = field(default_factory=list)
    error: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def device(self) -> str:
        """The anonymous id of the person's device."""
        return f"{self.person}-device"


def prepare(product: Product, sdks: Sequence[Sdk], what: str) -> list[Run]:
    """Give each SDK a source of its own, so that what it stored can be told apart."""
    runs = []
    with product.tables() as session:
        for number, sdk in enumerate(sdks):
            source, key = sources.add(session, f"{what}: {sdk.name}")
            runs.append(Run(sdk, key, source.id, f"{what}-{number}", host=product.url))
        session.commit()
    return runs


def everything(run: Run) -> list[Json]:
    """Return every kind of call, with what SDKs are known to get wrong."""
    user, device = run.person, run.device
    calls: list[Json] = [
        {"type": "identify", "userId": user, "anonymousId": device, "timestamp": AT,
         "traits": {"name": "Zoë", "nothing": None}},
        {"type": "track", "userId": user, "event": "Order Completed 日本", "timestamp": AT,
         "properties": PROPERTIES},
        {"type": "page", "userId": user, "category": "Shop", "name": "Pâge", "timestamp": AT,
         "properties": PROPERTIES},
        {"type": "screen", "userId": user, "name": "Écran", "properties": PROPERTIES},
        {"type": "group", "userId": user, "groupId": "g-1", "traits": {"plan": "pro"}},
        {"type": "alias", "userId": user, "previousId": f"{user}-earlier"},
        {"type": "alias", "userId": user, "previousId": user},
        {"type": "track", "anonymousId": device, "event": "Browsed", "properties": PROPERTIES},
        {"type": "track", "userId": user, "event": "Odd",
         "properties": {"nul": "a\x00b", "half": "\ud83d!"}},
    ]  # fmt: skip
    if run.sdk.keeps_person:
        calls = [call for call in calls if "userId" in call]
    return [call for call in calls if call["type"] in run.sdk.calls]


def burst(run: Run, count: int) -> list[Json]:
    """Return many simple calls of one person."""
    return [{"type": "track", "userId": run.person, "event": "Seen", "properties": {}}] * count


def numbered(calls: Iterable[Json]) -> list[Json]:
    """Give each call a number, by which it is found again among what was stored."""
    out = []
    for n, call in enumerate(calls):
        place = {"alias": "context", "identify": "traits", "group": "traits"}.get(
            call["type"], "properties"
        )
        out.append({**call, place: {**call.get(place, {}), "n": n}})
    return out


def installed(sdk: Sdk) -> Path:
    """Return the folder with an SDK; skips the test where it cannot be had."""
    if sdk.requirements:
        return install.python_package(sdk.requirements)
    return install.node_packages()


class Driven:
    """SDKs at work, each in a process of its own, from the start of the block to its end.

    Each makes the calls before its `hold`, then waits for `go_on()`; at the end of the block all
    have said that everything is sent, or what they gave up.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        """Drive these runs at the same time."""
        self._runs = runs
        self._pool = ThreadPoolExecutor(len(runs))
        self._waiting: list[Future[None]] = []
        self._go_on = threading.Event()

    def __enter__(self) -> "Driven":
        """Start all."""
        self._waiting = [self._pool.submit(self._drive, run) for run in self._runs]
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until all have ended."""
        self.go_on()
        for waiting in self._waiting:
            waiting.result()
        self._pool.shutdown()

    def go_on(self) -> None:
        """Let them make the rest of their calls."""
        self._go_on.set()

    def _drive(self, run: Run) -> None:
        where = installed(run.sdk)
        command = ["node", "drive.mjs", run.sdk.driver]
        if run.sdk.requirements:
            command = [sys.executable, "-W", "ignore", str(DRIVER), run.sdk.driver]
        scenario = {
            "host": run.host,
            "writeKey": run.key,
            "calls": run.calls,
            "hold": run.hold,
            "retries": run.retries,
            "batch": run.batch,
            **run.sdk.options,
        }
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=where,
            env={"PYTHONPATH": str(where), "PATH": os.environ["PATH"]},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(scenario) + "\n")
        process.stdin.flush()
        self._go_on.wait(timeout=300)
        out, err = process.communicate("\n", timeout=300)
        if process.returncode:
            run.error = err[-1500:] or f"status {process.returncode}"
        else:
            run.failed = json.loads(out.splitlines()[-1])["failed"]


def stored(product: Product, run: Run) -> list[Json]:
    """Return what was stored of a run."""
    with product.tables() as session:
        rows = session.execute(sa.text(STORED), {"source": run.source_id})
        return [dict(row._mapping) for row in rows]


def number(row: Json) -> int:
    """Return the number of the call that an event came from."""
    return int(row["properties"].get("n", row["context"].get("n", -1)))


def assert_delivered(run: Run, rows: Sequence[Json]) -> None:
    """What was sent is what is stored: nothing less, nothing twice, ids and times right."""
    assert (run.error, run.failed) == ("", [])
    assert sorted(map(number, rows)) == list(range(len(run.calls)))
    ids = {row["message_id"] for row in rows}
    assert len(ids) == len(rows)
    assert all(18 <= len(i) < 100 and not i.startswith("server-") for i in ids)
    by_number = {number(row): row for row in rows}
    for n, call in enumerate(run.calls):
        _assert_same(run, call, by_number[n])


def _assert_same(run: Run, call: Json, row: Json) -> None:
    assert row["type"] == call["type"]
    if not (run.sdk.keeps_person and call["type"] == "page"):  # its pages have no name of their own
        assert row["name"] == call.get("event", call.get("name"))
    assert row["user_id"] == call.get("userId")
    if not run.sdk.keeps_person:
        assert row["anonymous_id"] == call.get("anonymousId")
    wanted = _plain(call.get("properties", call.get("traits", {})), run.sdk.drops_nulls)
    found = row["properties"]
    for name in wanted:
        assert found.get(name) == wanted[name], (name, found)
    if not run.sdk.keeps_person:
        # Segment's own Node SDKs repeat a page's name and category in its properties.
        assert found.keys() - wanted.keys() <= ({"name", "category"} if "name" in call else set())
    at = call.get("timestamp")
    if at and not run.sdk.own_time:
        assert abs(row["occurred_at"] - datetime.fromisoformat(at)) < TOLERANCE
    else:
        assert run.started - TOLERANCE < row["occurred_at"] < datetime.now(UTC) + TOLERANCE


def _plain(value: Any, drops_nulls: bool) -> Any:
    """Return what can be stored of a value: PostgreSQL has no NUL, UTF-8 no half characters."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-16", "surrogatepass").decode(
            "utf-16", "replace"
        )  # fmt: skip
    if isinstance(value, dict):
        return {
            k: _plain(v, drops_nulls) for k, v in value.items() if not (v is None and drops_nulls)
        }
    if isinstance(value, list):
        return [_plain(v, drops_nulls) for v in value]
    return value
