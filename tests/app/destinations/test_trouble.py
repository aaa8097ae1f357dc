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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from app.destinations import registry, syncing
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


@dataclass
class Bad:
    """What a receiver that fails has taken; the same message may be taken more than once."""

    url: str = ""
    secret: str = ""
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    said: list[tuple[str, Any]] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    calm: bool = False

    def verified(self, headers: dict[str, str], body: bytes) -> Any:
        """What a message says, or None where the published library does not verify it."""
        try:
            return Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return None


class Failing(BaseHTTPRequestHandler):
    """Takes some messages and fails on others, and on some that it has taken."""

    bad: Bad
    dice = random.Random(7)  # noqa: S311 -- which trouble comes next is no secret

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        trouble = "fine" if self.bad.calm else self.dice.choices(TROUBLES, WEIGHTS)[0]
        self.bad.troubles[trouble] += 1
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
            self.send_header("retry-after", "0.1")
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
    people.people(*USERS, plan="free")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    with failing() as bad:
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
        _drain(people, made["id"])
        stop.set()
        for worker in workers:
            worker.join()
    assert all(bad.troubles[trouble] for trouble in {*TROUBLES} - {"410"}), bad.troubles
    queued = _queued(people, made["id"])
    first, again = _first_taken(bad)
    assert first == queued
    assert sum(map(len, queued.values())) > SECONDS
    _npm(node_packages, bad.secret, bad.taken[-5:])
    measure("seconds", SECONDS)
    measure("changes", sum(map(len, queued.values())))
    measure("requests by what became of them", dict(bad.troubles))
    measure("taken twice, under the same id", again)
    measure("times switched on again after 410", enabled)


def _work(people: World, stop: threading.Event) -> None:
    with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
        while not stop.is_set():
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
        syncing.sync(session, found, full=False, now=datetime.now(UTC))
    return 1


def _waiting(people: World, destination: int) -> int:
    with people.sessions() as session:
        found = registry.find(session, destination)
        return syncing.states(session, [found])[destination].waiting


def _drain(people: World, destination: int) -> None:
    until = monotonic() + 60
    while _waiting(people, destination):
        _switch_on(people, destination)
        assert monotonic() < until
        sleep(0.1)


def _queued(people: World, destination: int) -> dict[str, list[str]]:
    """The messages of each profile in the order in which they became true; all were delivered."""
    found = defaultdict(list)
    query = sa.select(Delivery).where(Delivery.destination_id == destination)
    with people.sessions() as session:
        for row in session.scalars(query.order_by(Delivery.id)):
            assert row.state == "delivered", (row.state, row.reason)
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


def _npm(folder: Path, secret: str, taken: list[tuple[dict[str, str], bytes]]) -> None:
    for headers, body in taken:
        for sent, accepted in ((body, True), (body + b" ", False)):
            said = {"secret": secret, "headers": headers, "body": sent.decode()}
            done = subprocess.run(
                ["node", "verify.mjs"], cwd=folder, input=json.dumps(said), capture_output=True,
                text=True, timeout=30, check=False,
            )  # fmt: skip
            assert (done.returncode == 0) is accepted, done.stderr
