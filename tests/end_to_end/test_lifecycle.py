"""Starting, stopping and killing: data survives, nothing is left over, commands always work."""

import json
import os
import resource
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.conftest import Measure
from tests.end_to_end.product import COMMAND, Product, Sender, wait_until

SERVICE = {"purpose": "service.operation"}


def remembered(client: httpx.Client) -> tuple[int, Any]:
    answer = client.get("/v1/profiles/user_id:ada/events", params=SERVICE)
    return answer.status_code, answer.json().get("data")


def seed(product: Product) -> tuple[str, httpx.Client]:
    """A source, a client, and one person with one event that is on her profile."""
    key, client = product.add_source(), product.add_client()
    sender = Sender(product, key)
    sender.batch({"type": "track", "userId": "ada", "event": "Signed Up", "messageId": "m-1"})
    sender.settled()
    return key, client


@pytest.mark.long
def test_data_keys_and_tokens_survive_a_stop_and_a_start(
    new_product: Product, measure: Measure
) -> None:
    measure("first start s", round(new_product.start(), 2))
    key, client = seed(new_product)
    before = remembered(client)
    stopped = new_product.stop()
    measure("stop s", round(stopped, 2))
    assert stopped < 10
    assert new_product.processes() == []
    measure("second start s", round(new_product.restart(), 2))
    assert remembered(client) == before
    again = httpx.post(
        f"{new_product.url}/v1/track",
        auth=(key, ""),
        json={"userId": "ada", "event": "Signed Up", "messageId": "m-1"},
        trust_env=False,
    )
    assert again.json()["duplicates"] == 1


@pytest.mark.long
def test_a_kill_of_server_worker_and_postgresql_leaves_nothing_that_stops_the_next_start(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    key, client = seed(own_product)
    before = remembered(client)
    for n in range(2):
        own_product.kill_everything()
        measure(f"start {n} after the kill s", round(own_product.restart(), 2))
        assert remembered(client) == before
    sender = Sender(own_product, key)
    sender.batch({"type": "track", "userId": "ada", "event": "Came Back"})
    wait_until(lambda: len(remembered(client)[1]) == 2, 10)
    sender.settled()


@pytest.mark.long
def test_a_worker_that_is_killed_is_replaced(own_product: Product, measure: Measure) -> None:
    own_product.start()
    key, client = seed(own_product)
    assert own_product.process is not None
    server = own_product.process.pid

    def worker() -> list[int]:
        return [pid for pid in own_product.processes() if parent(pid) == server]

    def parent(pid: int) -> int | None:
        try:
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # it ended since the list was made
            return None

    [first] = wait_until(worker, 10)
    os.kill(first, signal.SIGKILL)
    started = time.monotonic()
    sender = Sender(own_product, key)
    sender.batch({"type": "identify", "userId": "ada", "traits": {"city": "Köln"}})
    wait_until(lambda: client.get("/v1/profiles/user_id:ada", params=SERVICE).json()["traits"], 30)
    measure("worked again after s", round(time.monotonic() - started, 2))
    assert worker() != [first]


@pytest.mark.long
def test_sigterm_while_requests_come_in_ends_in_time_and_loses_nothing_accepted(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    key, client = seed(own_product)
    accepted = 0
    with httpx.Client(base_url=own_product.url, auth=(key, ""), trust_env=False) as http:
        assert own_product.process is not None
        process, told = own_product.process, 0.0
        while process.poll() is None:
            try:
                answer = http.post("/v1/track", json={"userId": "ada", "event": f"E{accepted}"})
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            accepted += answer.status_code == 200
            if accepted == 20 and not told:
                process.send_signal(signal.SIGTERM)
                told = time.monotonic()
        took = time.monotonic() - told
    measure("stop under load s", round(took, 2))
    assert (process.returncode, took < 10) == (0, True)
    assert own_product.processes() == []
    own_product.restart()
    names = [
        e["name"]
        for e in client.get(
            "/v1/profiles/user_id:ada/events", params=SERVICE | {"limit": "1000"}
        ).json()["data"]
    ]
    assert {f"E{n}" for n in range(accepted)} <= set(names)


@pytest.mark.long
def test_two_servers_on_one_data_directory_share_the_database(
    own_product: Product, tmp_path: Path
) -> None:
    own_product.start()
    key, client = seed(own_product)
    other = Product(own_product.home)
    try:
        other._starts = 100
        other.start("--no-worker")
        assert other.port != own_product.port
        sender = Sender(other, key)
        sender.batch({"type": "track", "userId": "ada", "event": "From The Other"})
        wait_until(lambda: len(remembered(client)[1]) == 2, 10)
        own_product.stop()
        with httpx.Client(base_url=other.url, headers=client.headers, trust_env=False) as beside:
            # The issuer of a token is the address of the server that made it.
            assert beside.get("/readyz").json()["status"] == "ready"
        sender.batch({"type": "track", "userId": "ada", "event": "Alone"})
        assert other.stop() < 10
        assert own_product.processes() == []
    finally:
        other.close()
    own_product.restart()
    wait_until(lambda: len(remembered(client)[1]) == 3, 10)


@pytest.mark.long
def test_commands_work_beside_a_server_and_without_one(own_product: Product) -> None:
    rows = own_product.home / "people.csv"
    rows.write_text("user_id,name\nu-1,Ada\n", encoding="utf-8")
    own_product.add_source("before")
    own_product.cli("client", "add", "before", "--scope", "profiles:read")
    assert own_product.cli("import", rows, "--source", "before")["accepted"] == 1
    assert own_product.processes() == []
    own_product.start()
    own_product.add_source("beside")
    own_product.cli("client", "add", "beside", "--scope", "profiles:read")
    rows.write_text("user_id,name\nu-1,Ada\nu-2,Bob\n", encoding="utf-8")
    said = own_product.cli("import", rows, "--source", "before")
    assert (said["accepted"], said["duplicates"]) == (1, 1)
    client = own_product.add_client()
    answer = wait_until(
        lambda: client.get("/v1/profiles/user_id:u-2", params=SERVICE).json().get("traits"), 10
    )
    assert answer == {"name": "Bob"}
    own_product.stop()
    assert {row["name"] for row in own_product.cli("source", "list")} == {"before", "beside"}
    assert len(own_product.cli("client", "list")) == 3
    assert own_product.processes() == []


def one_line(text: str) -> str:
    """What a failing command said, which must be one clear line, wrapped by nothing."""
    assert "Traceback" not in text
    [line] = [line for line in text.splitlines() if line.strip()]
    return line


def test_a_port_in_use_is_one_clear_line_and_status_1(own_product: Product) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_product.port))
        taken.listen()
        process = own_product.launch()
        assert process.wait(timeout=60) == 1
    line = one_line(own_product.output("err").read_text())
    assert str(own_product.port) in line
    assert "in use" in line
    assert own_product.output("out").read_text() == ""
    assert own_product.processes() == []


@pytest.mark.parametrize("kind", ["a file", "below a file", "not writable"])
def test_a_data_directory_that_cannot_be_used_is_one_clear_line_and_status_1(
    tmp_path: Path, kind: str
) -> None:
    product = Product(tmp_path)
    if kind == "not writable":
        # Root may write anywhere but here.
        product.data = Path("/proc/parcours")
    elif kind == "a file":
        product.data.write_text("not a folder")
    else:
        (tmp_path / "file").write_text("not a folder")
        product.data = tmp_path / "file" / "data"
    for arguments in (["source", "list"], ["serve", "--port", str(product.port)]):
        done = product.run(*arguments)
        assert done.returncode == 1, COMMAND
        assert str(product.data) in one_line(done.stderr)


def test_an_unknown_source_and_a_taken_name_are_one_clear_line_and_status_1(
    own_product: Product,
) -> None:
    own_product.add_source("web")
    for arguments, word in (
        (("source", "add", "web"), "web"),
        (("source", "remove", "no-such"), "no-such"),
        (("client", "add", "x", "--scope", "profile:read"), "profiles:read"),
        (("client", "add", "x", "--scope", "profiles:read", "--purpose", "nonsense"), "nonsense"),
    ):
        done = own_product.run(*arguments)
        assert done.returncode == 1
        assert word in one_line(done.stderr)
    assert own_product.processes() == []


@pytest.mark.long
def test_a_client_that_sends_its_body_slowly_is_answered_or_cut_off_in_time(
    own_product: Product, measure: Measure
) -> None:
    own_product.start()
    key, client = seed(own_product)

    def begin(name: str) -> tuple[socket.socket, bytes]:
        """Send a request up to the middle of its body."""
        body = json.dumps({"userId": "ada", "event": name, "writeKey": key}).encode()
        head = f"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        opened = socket.create_connection(("127.0.0.1", own_product.port), timeout=15)
        opened.sendall(head.encode() + body[:20])
        return opened, body[20:]

    (slow, rest), (never, _) = begin("Slow"), begin("Never")
    with slow, never:
        process = own_product.process
        assert process is not None
        # It accepts and reads in order: what it answers now tells that it has begun with the two.
        assert client.get("/v1/profiles/user_id:ada", params=SERVICE).status_code == 200
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        slow.sendall(rest)
        answered = slow.recv(4096)
        assert answered.startswith(b"HTTP/1.1 200"), answered
        assert process.wait(timeout=15) == 0
        took = time.monotonic() - started
    measure("stop with a body that never ends s", round(took, 2))
    assert took < 10
    assert own_product.processes() == []
    own_product.restart()
    wait_until(lambda: len(remembered(client)[1]) == 2, 10)
    assert {e["name"] for e in remembered(client)[1]} == {"Signed Up", "Slow"}


@pytest.mark.long
def test_connections_that_say_nothing_keep_nobody_out(own_product: Product) -> None:
    """Where a shell or a service allows few open files, each of them was one too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        own_product.launch()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with ExitStack() as silent:
        wait_until(lambda: "ready " in own_product.output("out").read_text(), 150)
        for _ in range(300):
            address = ("127.0.0.1", own_product.port)
            silent.enter_context(socket.create_connection(address, timeout=30))
        key = own_product.add_source()
        Sender(own_product, key).batch({"type": "track", "userId": "ada", "event": "Signed Up"})
