"""Addresses inside are not reached, whatever a name resolves to."""

import json
import re
import socket
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.db import Sessions
from app.destinations import guard
from app.destinations.wire import Call, Wire
from app.privacy import opendsr
from app.settings import Settings
from app.suppression import gate

INSIDE = (
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "224.0.0.1", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "localhost",  # noqa: S104 -- it is refused
    "[64:ff9b::a00:1]", "[2002:a00:1::]", "[fec0::1]", "[64:ff9b:1::7f00:1]",
    "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "2130706433", "0x7f.1",
)  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_before_anything_is_sent(host: str, tmp_path: Path) -> None:
    with guard.client(Settings(data_dir=tmp_path)) as client:
        answer = Wire(client).send(Call("POST", f"http://{host}:9/", {}))
    assert (answer.status, answer.error) in {(None, "AddressForbidden"), (None, "ConnectError")}
    if host not in ("2130706433", "0x7f.1"):  # some resolvers know such spellings, some do not
        assert answer.error == "AddressForbidden"


def test_a_name_is_resolved_once_and_one_address_inside_is_enough_to_refuse_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [["93.184.216.34"], ["93.184.216.34", "10.0.0.1"]]

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, 1, 6, "", (a, port)) for a in answers.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert guard.public_address("rebinds.test", 443) == "93.184.216.34"
    with pytest.raises(guard.AddressForbidden):
        guard.public_address("rebinds.test", 443)


def test_the_connection_goes_to_the_address_that_was_looked_at_under_the_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that nobody knows, taken for public at an address of this machine."""
    hosts = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hosts.append(self.headers["host"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    monkeypatch.setattr(guard, "public_address", lambda _host, _port: "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        with httpx.Client(transport=guard.Guard()) as client:
            answer = client.get(f"http://crm.test:{server.server_port}/")
    assert answer.status_code == 204
    assert hosts == [f"crm.test:{server.server_port}"]


def test_private_addresses_are_reached_where_the_operator_allows_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, private_destinations=True)
    with guard.client(settings) as client:
        answer = Wire(client).send(Call("GET", "http://127.0.0.1:9/"))
    assert answer.error == "ConnectError"


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\nx-a: b", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_receiver_whose_headers_never_end_holds_nobody_up(
    said: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each byte comes in time, and the timeout of a read is never over."""
    monkeypatch.setattr(guard, "LONGEST_SECONDS", 0.3)
    settings = Settings(data_dir=tmp_path, private_destinations=True, webhook_timeout_seconds=0.25)

    def trickle(inside: socket.socket) -> None:
        connection, _ = inside.accept()
        with connection, suppress(OSError):
            for _ in range(100):
                connection.sendall(said)
                sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as inside, guard.client(settings) as client:
        thread = Thread(target=trickle, args=(inside,), daemon=True)
        thread.start()
        began = monotonic()
        answer = Wire(client).send(Call("GET", f"http://127.0.0.1:{inside.getsockname()[1]}/"))
        took = monotonic() - began
        thread.join()
    assert (answer.status, answer.error) == (None, "ReadTimeout")
    assert took < 2


def test_nothing_in_the_server_reaches_out_by_a_client_of_its_own() -> None:
    """What a caller registers, callbacks included, is reached through the guard or not at all."""
    made = re.compile(r"httpx\.(Client|AsyncClient|get|post|put|request|stream)\(|urlopen\(")
    root = Path(guard.__file__).parents[2]
    places = [*(root / "app").rglob("*.py"), *(root / "api" / "routes").rglob("*.py")]
    found = {p.name for p in places if made.search(p.read_text(encoding="utf-8"))}
    assert len(places) > 100
    assert found == {"guard.py"}


def test_a_callback_of_opendsr_to_an_inner_address_is_never_sent(
    sessions: Sessions, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    gate.use(settings)
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.3)
        port = inside.getsockname()[1]
        body = {
            "subject_request_id": str(uuid4()),
            "subject_request_type": "access",
            "submitted_time": "2026-11-28T10:00:00Z",
            "subject_identities": [
                {"identity_type": "email", "identity_value": "a@example.org",
                 "identity_format": "raw"}
            ],
            "status_callback_urls": [f"https://127.0.0.1:{port}/", f"https://localhost:{port}/"],
        }  # fmt: skip
        sent = json.dumps(body).encode()
        wanted = opendsr.read(sent)
        with sessions.begin() as session:
            opendsr.open_(session, settings, wanted, sent, client_id="c", now=datetime.now(UTC))
        with guard.client(settings) as client:
            assert opendsr.call_back(sessions, settings, client) == 0
        with pytest.raises(TimeoutError):
            inside.accept()
