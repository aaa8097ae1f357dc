"""Stands between an SDK and the server and fails in turn, as networks and servers do."""

import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from api.cors import ALWAYS

Headers = list[tuple[str, str]]
#: The faults, in the order in which requests meet them.
UNAVAILABLE, LIMITED, STORED_THEN_500, RESET = "503", "429", "stored, then 500", "reset"
FAULTS = (UNAVAILABLE, LIMITED, STORED_THEN_500, RESET)
PROBLEM = b'{"code":"tried","message":"the test says no"}'
OURS = [(name.decode(), value.decode()) for name, value in ALWAYS]
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(slots=True)
class Proxy:
    """A proxy; the next POSTs meet `faults`, one each, and those after them none.

    The answers to the next GETs are kept back for `pauses`, in seconds.
    """

    url: str
    faults: list[str]
    pauses: list[float] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    #: Method, path and headers of every request, in order.
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """Passes requests on, but for those that meet a fault."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.server.next_fault(self)
        if fault == RESET:
            self.close_connection = True
            self.connection.close()
        elif fault in (UNAVAILABLE, LIMITED):
            self._answer(int(fault), [("Retry-After", "1"), *OURS], PROBLEM)
        else:
            answer = self._pass_on(body)
            pauses = self.server.proxy.pauses
            time.sleep(pauses.pop(0) if self.command == "GET" and pauses else 0.0)
            self._answer(*(answer if fault != STORED_THEN_500 else (500, OURS, PROBLEM)))

    def _pass_on(self, body: bytes) -> tuple[int, Headers, bytes]:
        onward = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        onward.request(self.command, self.path, body, dict(self.headers.items()))
        answer = onward.getresponse()
        content = answer.read()
        onward.close()
        return answer.status, answer.getheaders(), content

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_OPTIONS = _take

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, faults: Iterable[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = port
        self.proxy = Proxy(f"http://127.0.0.1:{self.server_port}", list(faults))
        self._lock = threading.Lock()

    def next_fault(self, request: BaseHTTPRequestHandler) -> str:
        """Note a request and return the fault that it meets, if any."""
        proxy = self.proxy
        with self._lock:
            proxy.seen.append((request.command, request.path, dict(request.headers.items())))
            if request.command != "POST" or not proxy.faults:
                return ""
            proxy.met.append(proxy.faults.pop(0))
            return proxy.met[-1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that break: that is what it is for."""


@contextmanager
def faulty(port: int, faults: Iterable[str] = FAULTS) -> Iterator[Proxy]:
    """Yield a proxy to the server at this port of this machine."""
    with _Server(port, faults) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.proxy
        server.shutdown()
        thread.join()
