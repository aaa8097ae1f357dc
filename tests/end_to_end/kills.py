"""Kills parts of a running product at random moments, under clients that retry as SDKs do."""

import http.client
import json
import os
import random
import signal
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from tests.end_to_end.product import Product, wait_until

PEOPLE = 40
#: What a client may be answered while things die: done, or come again.
RETRIED = frozenset({503})


@dataclass(slots=True)
class Told:
    """What one client was told: the ids acknowledged, and each answer that was not 200."""

    acknowledged: set[str] = field(default_factory=set)
    accepted: int = 0
    duplicates: int = 0
    tries: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Sends batches until told to stop; what is not acknowledged is sent again, mixed anew.

    A retry carries the same messages with the same ids, but not always in the same request:
    an SDK that was restarted sends what it kept together with what came since.
    """

    def __init__(self, port: int, key: str, seed: str) -> None:
        """`seed` makes its messages its own."""
        super().__init__(daemon=True)
        self._port = port
        self._random = random.Random(seed)  # noqa: S311  # to repeat a run, not to keep a secret
        self._name = seed
        self._made = 0
        self._authorization = "Basic " + b64encode(f"{key}:".encode()).decode()
        self._connection: http.client.HTTPConnection | None = None
        self._finish = threading.Event()
        self.told = Told()

    def finish(self) -> None:
        """Make no new messages; end when all that were made are acknowledged."""
        self._finish.set()

    def run(self) -> None:
        """Send, and send again."""
        waiting: list[dict[str, Any]] = []
        while waiting or not self._finish.is_set():
            if not waiting or (self._random.random() < 0.2 and not self._finish.is_set()):
                waiting += [self._message() for _ in range(self._random.randint(1, 40))]
            if self._random.random() < 0.3:
                self._random.shuffle(waiting)
            if self._sent(waiting):
                waiting = []
            else:
                time.sleep(self._random.uniform(0.02, 0.2))
        if self._connection is not None:
            self._connection.close()

    def _message(self) -> dict[str, Any]:
        self._made += 1
        person = self._random.randrange(PEOPLE)
        message: dict[str, Any] = {
            "type": "track",
            "event": "Load",
            "messageId": f"{self._name}-{self._made}",
            "anonymousId": f"a{person}",
            "properties": {"n": self._made, "text": "x" * self._random.randrange(300)},
        }
        if self._random.random() < 0.3:
            message |= {"type": "identify", "userId": f"u{person}", "traits": {"n": self._made}}
        return message

    def _sent(self, messages: list[dict[str, Any]]) -> bool:
        """Post them and note what was answered; say whether they are acknowledged."""
        told = self.told
        told.tries += 1
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            body = json.dumps({"batch": messages}).encode()
            headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
            self._connection.request("POST", "/v1/batch", body, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        told.statuses[answer.status] += 1
        if answer.status != 200:
            if answer.status not in RETRIED:
                told.wrong.append(f"{answer.status} {text[:300]!r}")
            return False
        said = json.loads(text)
        told.accepted += said["accepted"]
        told.duplicates += said["duplicates"]
        if said["accepted"] + said["duplicates"] != len(messages):
            told.wrong.append(f"{len(messages)} were sent: {text[:300]!r}")
        told.acknowledged |= {str(message["messageId"]) for message in messages}
        return True


@dataclass(frozen=True, slots=True)
class Result:
    """What was acknowledged and what is stored, compared by message id."""

    seed: int
    kills: Counter[str]
    acknowledged: int
    stored: int
    duplicates: int
    lost: int
    tries: int
    refused: int
    counted: int
    slowest: float
    wrong: list[str]

    def line(self) -> str:
        """Return the figures on one line."""
        killed = ", ".join(f"{number} {what}" for what, number in sorted(self.kills.items()))
        return (
            f"kill -9 of {killed} (seed {self.seed}): acknowledged {self.acknowledged}, "
            f"stored {self.stored}, duplicates {self.duplicates}, lost = {self.lost}; "
            f"{self.tries} requests, {self.refused} answered 503; "
            f"again acknowledged after at most {self.slowest:.1f} s"
        )


class Chaos:
    """One product, some clients, and somebody with `kill -9`."""

    def __init__(self, product: Product, seed: int, clients: int = 6) -> None:
        """`seed` decides what is killed and when; what the machine makes of it is its own."""
        self._product = product
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311  # as above
        self._clients = clients

    def run(self, kills: int) -> Result:
        """Start, kill so many times, let the clients end, and compare."""
        product = self._product
        product.start("--workers", "2")
        key = product.add_source("load")
        run = uuid4().hex[:8]
        clients = [Client(product.port, key, f"{run}-{n}") for n in range(self._clients)]
        for client in clients:
            client.start()
        killed: Counter[str] = Counter()
        slowest = 0.0
        for number in range(kills):
            self._await_acknowledgements(clients)
            time.sleep(self._random.uniform(0, 0.8))
            what = self._victim(number)
            killed[what] += 1
            began = time.monotonic()
            self._kill(what)
            self._await_acknowledgements(clients)
            slowest = max(slowest, time.monotonic() - began)
        for client in clients:
            client.finish()
        for client in clients:
            client.join(180)
            assert not client.is_alive(), "a client still waits for its acknowledgement"
        return self._compare(clients, killed, slowest)

    def _victim(self, number: int) -> str:
        """Choose at random, but each of the three among the first three."""
        kinds = ["server", "server child", "postmaster"]
        first = random.Random(self._seed).sample(kinds, 3)  # noqa: S311  # as above
        return first[number] if number < 3 else self._random.choice(kinds)

    def _await_acknowledgements(self, clients: list[Client]) -> None:
        """Wait until half of the clients had something acknowledged from now on."""
        before = [len(client.told.acknowledged) for client in clients]

        def served() -> bool:
            more = zip(before, clients, strict=True)
            return sum(len(c.told.acknowledged) > n for n, c in more) * 2 >= len(clients)

        wait_until(served, 180, what="clients are served")

    def _kill(self, what: str) -> None:
        if what == "postmaster":
            with suppress(OSError, ValueError, IndexError):  # it is being started at this moment
                self._product.kill_postgres()
        elif what == "server child":
            children = self.children()
            if children:
                os.kill(self._random.choice(children), signal.SIGKILL)
        else:
            self._product.kill()
            self._restart()

    def children(self) -> list[int]:
        """Return the processes that answer requests."""
        assert self._product.process is not None
        return [
            pid
            for pid in _children(self._product.process.pid)
            if b"multiprocessing.spawn" in _command(pid)
        ]

    def _restart(self) -> None:
        """Start until it starts, as a service manager would: the killed one's children end late."""
        deadline = time.monotonic() + 180
        while True:
            try:
                self._product.start("--workers", "2")
                return
            except AssertionError as error:
                if time.monotonic() > deadline or "in use" not in str(error):
                    raise
                time.sleep(0.2)

    def _compare(self, clients: list[Client], killed: Counter[str], slowest: float) -> Result:
        acknowledged = set().union(*(client.told.acknowledged for client in clients))
        with self._product.tables() as session:
            stored = Counter(session.scalars(sa.text("SELECT message_id FROM app.event")).all())
            counted = session.scalar(
                sa.text("SELECT sum(events) FROM app.tally WHERE outcome = 'accepted'")
            )
        return Result(
            self._seed,
            killed,
            acknowledged=len(acknowledged),
            stored=stored.total(),
            duplicates=stored.total() - len(stored),
            lost=len(acknowledged - stored.keys()),
            tries=sum(client.told.tries for client in clients),
            refused=sum(client.told.statuses[503] for client in clients),
            counted=int(counted or 0),
            slowest=slowest,
            wrong=[line for client in clients for line in client.told.wrong],
        )


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return sorted(found)


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def everybody(read: Callable[[str], list[dict[str, Any]]]) -> Counter[str]:
    """Return how often each message id stands in the timelines of all people."""
    return Counter(
        event["message_id"] for person in range(PEOPLE) for event in read(f"anonymous_id:a{person}")
    )
