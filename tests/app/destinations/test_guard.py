"""Addresses inside are not reached, whatever a name resolves to."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from app.destinations import guard
from app.destinations.wire import Call, Wire
from app.settings import Settings

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
