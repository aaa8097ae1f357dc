"""A receiver that fails at random: every change arrives, in order, and only duplicates of itself.

For 40 seconds, or as many as `PARCOURS_TROUBLE_SECONDS` says: 600 for ten minutes.
"""

import json
import os
import random
import socket
import struct
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app import jobs
from app.destinations import deliver as delivering
from app.destinations import outbox, portions, registry, resting, syncing
from app.destinations.tables import Delivery
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Measure, measure, node_packages

pytestmark = pytest.mark.long
__all__ = ["measure", "node_packages"]
SECONDS = float(os.environ.get("PARCOURS_TROUBLE_SECONDS", "40"))
USERS = [f"u{n}" for n in range(20)]
TROUBLES = ("fine", "500", "429", "reset", "reset_after", "hang", "slow", "410")
WEIGHTS = (40, 12, 12, 12, 10, 4, 8, 1)
TIMEOUT = 0.4
#: Which request of all is answered 410 in any case, so that it is switched off and on again.
GONE = 60
#: How one that is busy says for how long: in seconds, by a date, and not at all.
FORMS = ("seconds", "date", "nothing")


@dataclass
class Bad:
    """What a receiver that fails has taken; the same message may be taken more than once."""

    url: str = ""
    secret: str = ""
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    said: list[tuple[str, Any]] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    calm: bool = False
    npm: "Npm | None" = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def trouble(self, dice: random.Random) -> str:
        """Which trouble the next request meets."""
        with self.lock:
            chosen = "fine" if self.calm else dice.choices(TROUBLES, WEIGHTS)[0]
            if self.troubles.total() == GONE:
                chosen = "410"
            self.troubles[chosen] += 1
        return chosen

    def verified(self, headers: dict[str, str], body: bytes) -> Any:
        """What a message says, or None where a published library (PyPI, npm) does not verify it."""
        assert self.npm is not None
        if not self.npm.verifies(self.secret, headers, body):
            return None
        try:
            return Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return None


class Npm:
    """The published JavaScript library in a process of its own, which is asked line by line."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._node = subprocess.Popen(
            ["node", "verify_each.mjs"],
            cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def verifies(self, secret: str, headers: dict[str, str], body: bytes) -> bool:
        """Whether it takes this message."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        said = {"secret": secret, "headers": headers, "body": body.decode()}
        with self._lock:
            self._node.stdin.write(json.dumps(said) + "\n")
            self._node.stdin.flush()
            return self._node.stdout.readline() == "ok\n"

    def close(self) -> None:
        """End it."""
        self._node.communicate(timeout=30)


class Failing(BaseHTTPRequestHandler):
    """Takes some messages and fails on others, and on some that it has taken."""

    bad: Bad
    dice = random.Random(7)  # noqa: S311 -- which trouble comes next is no secret

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        trouble = self.bad.trouble(self.dice)
        if trouble in ("fine", "reset_after", "slow"):
            # Now: a signature is too old after five minutes.
            self.bad.said.append((headers["webhook-id"], self.bad.verified(headers, body)))
            self.bad.taken.append((headers, body))
        if trouble.startswith("reset"):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        if trouble == "hang":
            sleep(TIMEOUT * 2)
        status = int(trouble) if trouble.isdecimal() else 500 if trouble == "hang" else 200
        self._answer(status, TIMEOUT / 6 if trouble == "slow" else 0)

    def _answer(self, status: int, pause: float) -> None:
        self.send_response(status)
        if status == 429:
            form = self.dice.choices(FORMS, (4, 2, 1))[0]
            self.bad.forms[form] += 1
            if form == "seconds":
                self.send_header("retry-after", "1")
            elif form == "date":
                until = datetime.now(UTC) + timedelta(seconds=1)
                self.send_header("retry-after", format_datetime(until, usegmt=True))
        self.send_header("content-length", "4")
        self.end_headers()
        for byte in (b"d", b"o", b"n", b"e"):
            sleep(pause)
            self.wfile.write(byte)

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # either side has hung up
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def failing() -> Iterator[Bad]:
    """A receiver that fails."""
    bad = Bad()
    handler = type("Handler", (Failing,), {"bad": bad})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        bad.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield bad
        server.shutdown()
        thread.join()


def test_every_change_arrives_in_order_from_a_receiver_that_fails(
    people: World,
    node_packages: Path,
    measure: Measure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivering, "RETRY_SECONDS", (0.05,) * 200)
    monkeypatch.setattr(resting, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(resting, "LONGEST_SECONDS", 2.0)
    people.people(*USERS, plan="free")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    with failing() as bad, closing(Npm(node_packages)) as npm:
        bad.npm = npm
        made = people.destination(url=bad.url, segments=["pros"])
        bad.secret = made["secret"]
        stop = threading.Event()
        workers = [
            threading.Thread(target=_work, args=(people, stop)) for _ in range(jobs.DELIVERING)
        ]
        for worker in workers:
            worker.start()
        enabled = _live(people, made["id"])
        bad.calm = True
        enabled += _drain(people, made["id"])
        stop.set()
        for worker in workers:
            worker.join()
        taken = bad.taken[-1]
        assert npm.verifies(bad.secret, *taken)
        assert not npm.verifies(bad.secret, taken[0], taken[1] + b" ")
    assert all(bad.troubles[trouble] for trouble in TROUBLES), bad.troubles
    assert enabled, "410 has switched it off"
    queued = _queued(people, made["id"])
    first, again = _first_taken(bad)
    assert first == queued
    assert sum(map(len, queued.values())) > SECONDS / 4, "how many, the machine says"
    measure("seconds", SECONDS)
    measure("messages whose signature both packages verified", len(bad.said))
    measure("429 by how it said for how long", dict(bad.forms))
    measure("changes", sum(map(len, queued.values())))
    measure("requests by what became of them", dict(bad.troubles))
    measure("taken twice, under the same id", again)
    measure("times switched on again after 410", enabled)


def _work(people: World, stop: threading.Event) -> None:
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        while not stop.is_set():
            portions.advance(people.sessions)
            if not delivering.deliver(people.sessions, client):
                sleep(0.02)


def _live(people: World, destination: int) -> int:
    """Let people change their plans, and an operator switch the destination on again."""
    dice, until, enabled = random.Random(3), monotonic() + SECONDS, 0  # noqa: S311 -- no secret
    while monotonic() < until:
        for user in dice.sample(USERS, 3):
            people.identify(user, plan=dice.choice(["pro", "free"]))
        people.work()
        enabled += _switch_on(people, destination)
        sleep(0.1)
    return enabled


def _switch_on(people: World, destination: int) -> int:
    """Do what PATCH does; not by HTTP, because a token lives for ten minutes."""
    with people.sessions.begin() as session:
        found = registry.find(session, destination)
        if found.enabled:
            return 0
        registry.change(session, found, enabled=True)
        syncing.request(session, found)
    return 1


def _under_way(people: World, destination: int) -> bool:
    with people.sessions() as session:
        found = registry.find(session, destination)
        sync = syncing.syncs(session, [found])[destination]
        return bool(syncing.states(session, [found])[destination].waiting) or not sync.ended_at


def _drain(people: World, destination: int) -> int:
    """Wait until everything has arrived; return how often it was switched on for that."""
    until, enabled = monotonic() + 60 + SECONDS, 0
    while _under_way(people, destination):
        enabled += _switch_on(people, destination)
        assert monotonic() < until
        sleep(0.1)
    return enabled


def _queued(people: World, destination: int) -> dict[str, list[str]]:
    """The messages of each profile in the order in which they became true; all were delivered.

    A look that found nothing to say, of whom a sync has looked at, is no message.
    """
    found = defaultdict(list)
    query = sa.select(Delivery).where(Delivery.destination_id == destination)
    with people.sessions() as session:
        for row in session.scalars(query.order_by(Delivery.id)):
            if (row.type, row.sent, row.state) == (outbox.UPDATED, False, "dropped"):
                continue
            assert row.state == "delivered", (row.type, row.state, row.reason)
            found[str(row.profile_id)].append(str(row.message_id))
    return dict(found)


def _first_taken(bad: Bad) -> tuple[dict[str, list[str]], int]:
    """The messages of each profile in the order in which they were taken first, all verified."""
    found: dict[str, list[str]] = defaultdict(list)
    bodies: dict[str, Any] = {}
    again = 0
    for number, said in bad.said:
        assert said is not None, "the signature is not right"
        if number in bodies:
            assert bodies[number] == said, "the same id and another message"
            again += 1
            continue
        bodies[number] = said
        found[said["data"]["profile_id"]].append(number)
    return dict(found), again
