"""Starts the product as a child process, and talks to it as a client does."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from app.access import administration, clients, sources
from app.db import Sessions
from app.errors import DatabaseUnavailable

START_SECONDS = 120


def free_port(wanted: int) -> int:
    """Return the wanted port if nobody listens on it, else any that is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    data_dir: Path,
    port: int,
    *,
    environment: Mapping[str, str | None] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the address of `parcours serve` on this data directory; stopped on the way out.

    `environment` is set on top of our own; a variable that is None is not there for the server.
    Raises DatabaseUnavailable, with what the server said, when it does not become ready.
    """
    variables = {**os.environ, **(environment or {})}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(  # noqa: S603  # ourselves
            [
                sys.executable, "-m", "api", "serve", "--port", str(port),
                "--data-dir", str(data_dir), "--parent", str(os.getpid()),
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={name: value for name, value in variables.items() if value is not None},
        )  # fmt: skip
        patience = threading.Timer(START_SECONDS, server.kill)
        patience.start()
        try:
            line = server.stdout.readline() if server.stdout else ""
            patience.cancel()
            if not line.startswith("ready "):
                log.seek(0)
                raise DatabaseUnavailable(f"the server did not start: {log.read()[-2000:]}")
            yield line.split()[1]
        finally:
            patience.cancel()
            server.terminate()
            server.wait(30)
            if server.stdout:
                server.stdout.close()


def add_sources(sessions: Sessions, wanted: Mapping[str, str]) -> dict[str, str]:
    """Register sources (name → collection purpose) and return their write keys."""
    with sessions.begin() as session:
        return {
            name: sources.add(session, name, collection_purpose=purpose)[1]
            for name, purpose in wanted.items()
        }


def client(sessions: Sessions, url: str, *, purposes: Sequence[str]) -> httpx.Client:
    """Register an OAuth client with every scope and return it, signed in."""
    with sessions.begin() as session:
        made, told = administration.register(
            session,
            "parcours command line",
            scopes=clients.SCOPES,
            purposes=purposes,
            by=administration.OPERATOR,
            now=datetime.now(UTC),
        )
        client_id, secret = made.client_id, told["client_secret"]
    return httpx.Client(
        base_url=url, auth=_Token(url, client_id, secret), timeout=120, trust_env=False
    )


class _Token(httpx.Auth):
    """Fetches an access token, and a new one when the old one is refused."""

    requires_response_body = True

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        self._url, self._client_id, self._secret = url, client_id, secret
        self._token = ""

    def auth_flow(self, request: httpx.Request) -> Any:
        """Sign a request, and sign it anew when the token has expired."""
        if not self._token:
            self._token = (yield self._asked()).json()["access_token"]
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token = (yield self._asked()).json()["access_token"]
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _asked(self) -> httpx.Request:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._secret,
        }
        return httpx.Request("POST", f"{self._url}/oauth/token", data=form)
