"""The product as an operator runs it: real processes, a data directory and a port of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from sqlalchemy.orm import Session

from app import db
from app.access import clients
from app.postgres import embedded
from tests.end_to_end.logs import Watch

COMMAND = Path(sys.executable).with_name("parcours")
START_SECONDS = 150.0
PURPOSES = (
    "service.operation",
    "profile.link",
    "analytics.audience",
    "content.personalised",
    "marketing.email",
)
T = TypeVar("T")


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], T | None], seconds: float, *, what: str = "") -> T:
    """Ask until the condition answers something true and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}; last: {answer!r}")
        time.sleep(0.02)


class Product:
    """`parcours serve` and the other commands, all on one data directory."""

    def __init__(self, home: Path, port: int | None = None, **settings: str) -> None:
        """`settings` are environment variables of the product, without their prefix."""
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.data = home / "data"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.watch = Watch()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PARCOURS_")},
            "PARCOURS_LOG_LEVEL": "debug",
            "PARCOURS_PRIVATE_DESTINATIONS": "true",  # receivers of tests are on this machine
            **{f"PARCOURS_{k.upper()}": v for k, v in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._open = ExitStack()
        self._starts = 0

    def begin_with(self, prepared: Path) -> Self:
        """Begin with a copy of another data directory; owners and times stay what they are."""
        subprocess.run(["cp", "-a", prepared, self.data], check=True)
        return self

    def launch(self, *options: str) -> subprocess.Popen[bytes]:
        """Start `parcours serve` and return at once; what it prints goes to files in `home`."""
        self._starts += 1
        with self.output("out").open("wb") as out, self.output("err").open("wb") as err:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(self.port), "--data-dir", self.data, *options],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self.process

    def output(self, stream: str) -> Path:
        """Return the file with what the latest server printed: `out` or `err`."""
        return self.home / f"serve-{self._starts}.{stream}"

    def start(self, *options: str) -> float:
        """Start `parcours serve` and return how many seconds it took until it said `ready`."""
        started = time.monotonic()
        process = self.launch(*options)

        def ready() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"serve ended: {self.output('err').read_text()}")
            return f"ready {self.url}\n" in self.output("out").read_text()

        wait_until(ready, START_SECONDS, what="the server says ready")
        return time.monotonic() - started

    def stop(self) -> float:
        """Send SIGTERM and return after how many seconds the server had ended with status 0."""
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise
        assert status == 0, self.output("err").read_text()
        self.process = None
        return time.monotonic() - started

    def kill(self) -> None:
        """`kill -9` of the server alone: its worker and PostgreSQL are on their own."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self) -> float:
        """Start again on the same data directory and port."""
        return self.start()

    def postmaster(self) -> int:
        """Return the process id of the embedded PostgreSQL."""
        pid_file = self.data / "postgres" / "postmaster.pid"
        return int(pid_file.read_text().splitlines()[0])

    def kill_postgres(self) -> None:
        """`kill -9` of the postmaster."""
        os.kill(self.postmaster(), signal.SIGKILL)

    def kill_everything(self) -> None:
        """`kill -9` of all at once: server, worker, PostgreSQL."""
        with suppress(OSError, ValueError, IndexError):
            self.kill_postgres()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.process = None
        wait_until(lambda: not self.processes(), 20, what="all are dead")

    def processes(self) -> list[int]:
        """Return the living processes that belong to this data directory, PostgreSQL's included."""
        mine = str(self.data).encode()
        found = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            with suppress(OSError):
                said = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                inside = mine in said or os.readlink(folder / "cwd").startswith(str(self.data))
                zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if inside and not zombie:
                    found.append(int(folder.name))
        return found

    def run(self, *arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run another command on the same data directory."""
        done = subprocess.run(
            [COMMAND, *arguments, "--data-dir", self.data],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        with (self.home / "commands.err").open("a", encoding="utf-8") as file:
            file.write(done.stderr)
        return done

    def cli(self, *arguments: str | Path) -> Any:
        """Run a command that must succeed and return the JSON it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def add_source(self, name: str = "web", *options: str) -> str:
        """Add a source and return its write key."""
        made = self.cli("source", "add", name, *options)
        self.watch.note(made)
        return str(made["write_key"])

    def add_client(
        self,
        scopes: tuple[str, ...] = clients.SCOPES,
        purposes: tuple[str, ...] = PURPOSES,
        name: str = "test",
    ) -> httpx.Client:
        """Add an OAuth client, let it sign in, and return an HTTP client with its token."""
        wanted = [part for s in scopes for part in ("--scope", s)]
        wanted += [part for p in purposes for part in ("--purpose", p)]
        made = self.cli("client", "add", name, *wanted)
        client = self._open.enter_context(
            httpx.Client(
                base_url=self.url, trust_env=False, timeout=30,
                event_hooks={"request": [self.watch.request]},
            )
        )  # fmt: skip
        self.watch.note({"secret": made["client_secret"]})
        answer = client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(made["client_id"], made["client_secret"]),
        )
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    @contextmanager
    def tables(self) -> Iterator[Session]:
        """Yield a session on the product's own database, to look into its tables."""
        with embedded(self.data) as url:
            engine = db.engine(url)
            with db.sessions(engine)() as session:
                yield session
            engine.dispose()

    def close(self) -> None:
        """Stop what runs, whatever state the test left it in, and read its logs (check 86)."""
        self._open.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=15)
        self.kill_everything()
        told = self.watch.found(self.logs())
        assert not told, f"check 86: logs name somebody: {told}"

    def logs(self) -> Iterator[Path]:
        """Yield all that the product logged: servers, workers, commands, PostgreSQL."""
        yield from self.home.glob("*.err")
        yield from self.home.glob("*.out")
        yield from self.data.glob("postgres/**/*.log")


class Sender:
    """Sends tracking calls of one source by plain HTTP, and waits until they are in profiles."""

    def __init__(self, product: Product, write_key: str) -> None:
        """`write_key` is that of the source."""
        self.http = product._open.enter_context(
            httpx.Client(
                base_url=product.url, auth=(write_key, ""), trust_env=False, timeout=30,
                event_hooks={"request": [product.watch.request]},
            )
        )  # fmt: skip

    def batch(self, *messages: Mapping[str, Any]) -> dict[str, Any]:
        """Send messages in one request; each must be accepted."""
        answer = self.http.post("/v1/batch", json={"batch": messages})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        assert said["accepted"] == len(messages), said
        return said

    def consent(self, subject: str, **decisions: str) -> None:
        """Record decisions; purposes are written with `__` for the dot."""
        namespace, _, value = subject.partition(":")
        answer = self.http.post(
            "/v1/consents",
            json={
                "subject": {"namespace": namespace, "value": value},
                "decisions": [
                    {"purpose": key.replace("__", "."), "state": state}
                    for key, state in decisions.items()
                ],
            },
        )
        assert answer.status_code == 200, answer.text

    def settled(self, seconds: float = 15) -> None:
        """Wait until the worker has taken everything that was sent through the product."""
        wait_until(
            lambda: self.http.get("/readyz").json().get("backlog") == 0,
            seconds,
            what="the worker has nothing left to do",
        )


def run_matching(client: httpx.Client, seconds: float = 90) -> dict[str, Any]:
    """Ask for a real matching run and return it once it is done."""
    run = client.post("/v1/identity/runs").json()["id"]

    def finished() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(f"/v1/identity/runs/{run}").json()
        return found if found["state"] in ("done", "failed") else None

    found = wait_until(finished, seconds, what=f"run {run} ends")
    assert found["state"] == "done", found
    return found


def first_run_over(client: httpx.Client, sender: Sender) -> None:
    """Let the run that a new server starts by itself pass, on the record of a bystander."""
    sender.batch(
        {"type": "identify", "userId": "bystander", "traits": {"firstName": "By", "city": "Oslo"}}
    )
    sender.consent("user_id:bystander", profile__link="given")
    wait_until(
        lambda: [r for r in client.get("/v1/identity/runs").json()["data"] if r["state"] == "done"],
        90,
        what="the first scheduled run",
    )
