"""Requests of a batch: paced, bounded in time and size, and never an exception."""

import gzip
import socketserver
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from app.destinations import guard, wire
from app.destinations.kind import Record, Setup
from app.destinations.webhook import Webhook, WebhookSecrets
from app.destinations.wire import Call, Wire, retry_after
from app.settings import Settings
from tests.app.destinations.world import World
from tests.end_to_end.conftest import Receiver

CALL = Call("POST", "http://there.test/", {"name": "Grüße \ud83d"})


def client(body: Iterator[bytes] | bytes = b"", status: int = 200) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(
        lambda _: httpx.Response(status, content=body)
    ))  # fmt: skip


def test_requests_are_spaced_by_the_rate_also_those_at_once() -> None:
    began = time.monotonic()
    sending = Wire(client(), rate=50)
    answers = sending.send_all([CALL] * 11)
    assert {answer.status for answer in answers} == {200}
    assert time.monotonic() - began >= 10 / 50
    assert 0 < sending.pause <= 1 / 50


def test_what_there_is_no_time_for_is_not_tried() -> None:
    answers = Wire(client(), rate=10, seconds=0.25).send_all([CALL] * 8)
    assert sum(answer.error == wire.NOT_TRIED for answer in answers) == 5


def test_an_answer_that_is_too_long_or_never_ends_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b"x" * 65_536

    answer = Wire(client(trickle()), seconds=0.1).send(CALL)
    assert (answer.status, answer.error) == (None, "ReadTimeout")
    monkeypatch.setattr(wire, "MOST_BYTES", 100)
    answer = Wire(client(b"x" * 101)).send(CALL)
    assert (answer.status, answer.error) == (None, "DecodingError")
    setup = Setup(
        1, "there", CALL.url, "p", ("s",), None, WebhookSecrets(**Webhook().new_secrets())
    )
    record = Record("m", "segment.entered", datetime.now(UTC), "p", "tell")
    [told] = Webhook().send(setup, [record], Wire(client(trickle()), seconds=0.1))
    assert told.state == "taken", "of a webhook the status says all (Standard Webhooks)"


@contextmanager
def answering(coding: str, body: bytes) -> Iterator[str]:
    """Run a receiver that answers each request with this body; yield its address."""
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"

    class Answers(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(head.encode() + body)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_a_packed_answer_takes_no_more_memory_than_one_that_is_not(settings: Settings) -> None:
    said = gzip.compress(b'{"name": "Ada"}')
    bomb = gzip.compress(b" " * 50_000_000)
    allowed = settings.model_copy(update={"private_destinations": True})
    found = []
    tracemalloc.start()
    try:
        for coding, body in (
            ("gzip", said), ("X-GZIP", said), ("gzip", bomb), ("gzip", b"no"),
            ("gzip, gzip", gzip.compress(bomb)), ("deflate", b"x"), ("identity", b"{}"),
            ("utf-8", b"{}"), ("none", b"{}"), ("br", b"{}"), ("zstd, utf-8", b"{}"),
        ):  # fmt: skip
            with answering(coding, body) as url, guard.client(allowed) as sending:
                answer = Wire(sending).send(Call("POST", url))
                found.append(answer.json() if answer.status else answer.error)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bad = "DecodingError"
    assert found == [{"name": "Ada"}, {"name": "Ada"}, bad, bad, bad, bad, {}, {}, {}, bad, bad]
    assert peak < 15_000_000


def test_an_answer_that_is_no_json_says_nothing() -> None:
    for body in (b"", b"<html>", b"[" * 100_000, b"\xff"):
        assert Wire(client(body)).send(CALL).json() is None


@pytest.mark.parametrize("value", ["nan", "inf", "-5", "soon", "", None, "1e400"])
def test_a_time_to_wait_that_is_none_is_not_believed(value: str | None) -> None:
    found = retry_after(value, datetime.now(UTC))
    assert found is None or 0 <= found <= 86_400


def test_a_slow_pace_costs_no_message_an_attempt(people: World, receiver: Receiver) -> None:
    people.people("ada", "bob", "eve", plan="pro")
    people.segment("pros", {"trait": "plan", "op": "eq", "value": "pro"})
    made = people.destination(url=receiver.url, segments=["pros"], rate=0.05)
    people.deliver()
    assert len(receiver.received) == 1, "the next in twenty seconds"
    rows = people.get(f"/v1/destinations/{made['id']}/deliveries")["data"]
    assert sorted(row["attempts"] for row in rows) == [0, 0, 1]
