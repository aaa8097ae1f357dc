"""Servers that hold to the published APIs of CRMs: authentication, field names, limits, errors.

Each keeps contacts in memory. What an API refuses, it refuses as its documentation shows it; an
unknown path, method, field of the request or wrong type is an `AssertionError` the test sees.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, str], Any]
LOST: Answer = (502, {}, None)


class Crm:
    """An HTTP server; `trouble` are answers that come before all others."""

    url = ""
    kind = ""
    secrets: dict[str, str] = {}
    #: How many records one request may hold.
    most = 100
    #: The fields that contacts have.
    known: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.contacts: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.trouble: list[Answer] = []
        #: Whether it does what it is asked and its answers are lost, but for those with a token.
        self.lost = False
        self.broken: list[str] = []
        self.opted_out: set[str] = set()
        self.ids = count(501)

    def answer(self, method: str, path: str, query: dict[str, str], headers: dict[str, str],
               body: Any) -> Answer:  # fmt: skip
        raise NotImplementedError

    def authorized(self, headers: dict[str, str]) -> bool:
        raise NotImplementedError

    def by_email(self, email: str) -> str | None:
        return next((n for n, c in self.contacts.items() if c.get("email") == email), None)

    def holds(self) -> list[dict[str, Any]]:
        """Contacts of whom more than their key is there."""
        raise NotImplementedError


@contextmanager
def serving(crm: Crm) -> Iterator[Crm]:
    """Serve an API on this machine; what it cannot understand fails the test in the end."""
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            query = {k: v[0] for k, v in parse_qs(parts.query).items()}
            headers = {k.lower(): v for k, v in self.headers.items()}
            with lock:
                try:
                    body = _body(raw, headers.get("content-type", ""))
                    crm.requests.append((self.command, self.path, body))
                    if crm.lost and "/oauth2/" not in self.path:
                        crm.answer(self.command, parts.path, query, headers, body)
                        status, more, said = LOST
                    elif crm.trouble:
                        status, more, said = crm.trouble.pop(0)
                    else:
                        status, more, said = crm.answer(
                            self.command, parts.path, query, headers, body
                        )
                except Exception as error:
                    crm.broken.append(f"{self.command} {self.path}: {error!r}")
                    status, more, said = 500, {}, None
            written = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {**more, "content-length": str(len(written))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(written)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        crm.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield crm
        server.shutdown()
        thread.join()
    assert crm.broken == []


def _body(raw: bytes, kind: str) -> Any:
    if not raw:
        return None
    if kind == "application/x-www-form-urlencoded":
        return {k: v[0] for k, v in parse_qs(raw.decode()).items()}
    assert kind == "application/json"
    return json.loads(raw)
