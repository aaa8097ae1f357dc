"""A client holds nothing that is no request: real connections to a real uvicorn."""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn

from api import connection
from api.connection import Connection
from tests.end_to_end.product import wait_until

LOOK = 0.6
#: More than the buffers of both sides' systems take.
LARGE = 40_000_000


class Quick(Connection):
    """Looks often."""

    look_seconds = LOOK
    queued = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        Quick.queued = max(Quick.queued, len(self.pipeline))


class App:
    """Answers what its path says, and notes what became of each request."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.bodies: list[int] = []
        self.failed: list[BaseException] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        try:
            await self._answer(path, receive, send)
        except BaseException as error:
            self.failed.append(error)
            raise
        finally:
            self.ended.append(path)

    async def _answer(self, path: str, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more and path != "/unread":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        self.bodies.append(size)
        if path == "/long":
            await asyncio.sleep(LOOK * 3)
        body = b"x" * (LARGE if path == "/large" else 2)
        length = str(len(body)).encode()
        headers = [] if path == "/streamed" else [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/streamed":
            for _ in range(LARGE // 100_000):
                part = b"x" * 100_000
                await send({"type": "http.response.body", "body": part, "more_body": True})
            body = b""
        await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[int, App]]:
    app = App()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=Quick, loop="uvloop", lifespan="off", log_config=None, timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1], app
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def _open(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.settimeout(LOOK * 20)
    return made


def _rest(client: socket.socket) -> bytes:
    """Return what the server still sends before it ends the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while part := client.recv(1_000_000):
            found += part
    return found


def _pour(client: socket.socket, part: bytes, most: int) -> int:
    """Send a part again and again until the server ends it; return how many bytes went."""
    sent = 0
    with suppress(ConnectionError):
        while sent < most:
            client.sendall(part)
            sent += len(part)
            time.sleep(0.0005)  # or the system takes megabytes before the answer is there
    return sent


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /", b"a" * 10_000),
        (b"GET / HTTP/1.1\r\nx: ", b"a" * 10_000),
        (b"GET / HTTP/1.1\r\n", b"x: y\r\n" * 1_000),
        (b"GET / HTTP/1.1\r\n", b"x" * 10_000),
        (b"", b"\r\n" * 5_000),
    ],
    ids=["address", "header", "headers", "name", "nothing"],
)
def test_a_head_without_end_is_refused(served: tuple[int, App], start: bytes, part: bytes) -> None:
    with _open(served[0]) as client:
        client.sendall(start)
        assert _pour(client, part, 50_000_000) < 5_000_000
        answer = _rest(client)
    if answer:  # what was sent meanwhile may have the system forget it
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["code"] == "head-too-large"


def test_the_refusal_is_a_problem(served: tuple[int, App]) -> None:
    with _open(served[0]) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(2):
            time.sleep(0.05)
            client.sendall(b"x: %s\r\n" % (b"y" * 40_000))
        head, _, body = _rest(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"content-type: application/problem+json" in head
    assert json.loads(body)["status"] == 431


@pytest.mark.parametrize("path", [b"/trailers", b"/unread"])
@pytest.mark.parametrize("part", [b"x: y\r\n" * 1_000, b"x: " + b"y" * 10_000], ids=["many", "one"])
def test_trailers_without_end_are_refused(
    served: tuple[int, App], path: bytes, part: bytes
) -> None:
    with _open(served[0]) as client:
        client.sendall(
            b"POST %s HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nxx\r\n0\r\n" % path
        )
        time.sleep(0.05)
        assert _pour(client, part, 50_000_000) < 5_000_000


def test_extensions_of_chunks_without_end_are_refused(served: tuple[int, App]) -> None:
    with _open(served[0]) as client:
        client.sendall(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2;x=")
        time.sleep(0.05)
        assert _pour(client, b"y" * 10_000, 50_000_000) < 5_000_000


def test_what_clients_send_is_taken(served: tuple[int, App]) -> None:
    port, app = served
    with _open(port) as client:
        client.sendall(b"GET /?data=%s HTTP/1.1\r\nhost: x\r\n\r\n" % (b"a" * 60_000))
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(30):  # 180 KB around 30 KB
            client.sendall(b"1\r\nx\r\n" * 1_000)
            time.sleep(0.005)
        client.sendall(b"0\r\n\r\n")
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n")
        client.sendall(b"x" * 4_000_000)
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
        many = b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(5_000))
        threading.Thread(target=client.sendall, args=(many,), daemon=True).start()
        found = b""
        while found.count(b"HTTP/1.1 200") < 5_000:
            part = client.recv(1_000_000)
            assert part
            found += part
    assert app.bodies[-5_002:-5_000] == [30_000, 4_000_000]


def test_requests_that_wait_are_bounded(served: tuple[int, App]) -> None:
    """Each answer let another part in: 5 MB of requests were 609 MB."""
    many, Quick.queued = 60_000, 0
    sent = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * many
    with _open(served[0]) as client:
        threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
        answered, end = 0, b""
        while answered < many:
            part = client.recv(1_000_000)
            assert part
            both = end + part
            answered += both.count(b"HTTP/1.1 200")
            end = both[-11:]
    assert 0 < Quick.queued <= connection.MOST_QUEUED


def test_who_sends_too_many_requests_at_once_is_left(
    served: tuple[int, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, app = served
    app.failed.clear()
    monkeypatch.setattr(connection, "MOST_QUEUED", 100)
    with _open(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1_000)
        assert _rest(client).count(b"HTTP/1.1 200") < 1_000
    assert app.failed == []


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_body_after_others_is_read_when_they_have_ended(
    served: tuple[int, App], size: int
) -> None:
    """Meanwhile nothing of it is read, for which its client is not to blame."""
    port, app = served
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size
    with _open(port) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n" * 3 + head + b"x")
        time.sleep(LOOK / 2)
        client.sendall(b"x" * (size - 1))
        found = b""
        while found.count(b"HTTP/1.1 200") < 4:
            part = client.recv(1_000_000)
            assert part
            found += part
    assert app.bodies[-1] == size


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /again HTTP/1.1\r\nx: "],
    ids=["silent", "head", "second"],
)
def test_who_sends_no_request_is_left(served: tuple[int, App], start: bytes) -> None:
    begun = time.monotonic()
    with _open(served[0]) as client:
        client.sendall(start)
        with suppress(ConnectionError):
            while time.monotonic() < begun + LOOK * 10:  # a byte now and then is no request
                if start:
                    client.sendall(b"a")
                client.settimeout(LOOK / 4)
                with suppress(TimeoutError):
                    if not client.recv(1_000):
                        break
    assert LOOK < time.monotonic() - begun < LOOK * 9


@pytest.mark.parametrize("length", [b"content-length: 900", b"transfer-encoding: chunked"])
def test_a_body_that_does_not_come_ends_its_request(served: tuple[int, App], length: bytes) -> None:
    port, app = served
    app.ended.clear()
    begun = time.monotonic()
    with _open(port) as client:
        client.sendall(b"POST /slow HTTP/1.1\r\nhost: x\r\n%s\r\n\r\n" % length)
        assert _rest(client) == b""
    assert LOOK * connection.MOST_LOOKS < time.monotonic() - begun < LOOK * 15
    wait_until(lambda: app.ended == ["/slow"], 2)


def test_a_long_answer_and_a_pause_between_requests_end_nothing(served: tuple[int, App]) -> None:
    with _open(served[0]) as client:
        for path in (b"/", b"/long", b"/"):
            client.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path)
            assert client.recv(1_000).startswith(b"HTTP/1.1 200")
            time.sleep(LOOK * 2.5)


@pytest.mark.parametrize("path", ["/large", "/streamed"])
def test_who_does_not_read_an_answer_is_left(served: tuple[int, App], path: str) -> None:
    port, app = served
    app.ended.clear()
    with _open(port) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        time.sleep(LOOK * 5)
        assert app.ended == [path]
        assert len(_rest(client)) < LARGE


@pytest.mark.parametrize("path", ["/large", "/streamed"])
def test_who_reads_slowly_gets_all(served: tuple[int, App], path: str) -> None:
    with _open(served[0]) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        size = 0
        while part := client.recv(2_000_000):
            size += len(part)
            time.sleep(LOOK / 10)
    assert size > LARGE


@pytest.mark.parametrize("path", ["/large", "/streamed"])
def test_who_pauses_while_reading_gets_all(served: tuple[int, App], path: str) -> None:
    with _open(served[0]) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        time.sleep(LOOK * 2.5)
        assert len(_rest(client)) > LARGE


def test_whoever_leaves_while_several_requests_wait_fails_none_of_them(
    served: tuple[int, App],
) -> None:
    port, app = served
    app.ended.clear()
    app.failed.clear()
    with _open(port) as client:
        client.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
        time.sleep(LOOK / 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: app.ended, LOOK * 10)
    assert app.failed == []
