"""`parcours serve` and `parcours worker`: the processes of the product."""

import errno
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Annotated

import httpx
import typer
import uvicorn
from rich.markup import escape

from api.cli import holding
from api.cli.session import DataDir, err, opened, settings
from app import logs
from app.ledger.keystore import Keystore
from app.pending.vault import Vault
from app.postgres import database
from app.settings import Settings
from identity import sweeps

#: So long may the worker take for what it is doing: server and PostgreSQL need the rest of 10 s.
STOP_SECONDS = 4
#: Of one process. Some systems allow a thousand million, and programs count up to that.
MOST_FILES = 65_536


class _Terminated(SystemExit):
    """SIGTERM or SIGINT came: leave through every `finally` on the way."""


def _leave(number: int, _frame: FrameType | None) -> None:
    raise _Terminated(0)


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8000,
    data_dir: DataDir = None,
    workers: Annotated[int, typer.Option(help="Server processes.", min=1)] = 1,
    worker: Annotated[bool, typer.Option(help="Run the background jobs too.")] = True,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the whole product: migrate, serve the API, run the background jobs.

    Without PARCOURS_DATABASE_URL the embedded PostgreSQL is started under the data directory.
    Prints `ready http://HOST:PORT` when it answers. SIGTERM drains and stops within 10 seconds.
    """
    logs.configure(settings(data_dir).log_level)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    if parent is not None:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    _demand_free(host, port)
    _open_files()
    configuration = _configured(settings(data_dir), host, port)
    Vault(configuration)  # a setting that is no key ends here, in one clear line
    Keystore(configuration)
    with suppress(_Terminated), opened(configuration) as sessions, database(configuration) as url:
        holding.warn(sessions, configuration)
        with sessions.begin() as session:
            sweeps.request_spelling(session)  # before anything is answered
        sessions.kw["bind"].dispose()
        with _worker_process(configuration) if worker else _nothing():
            _serve(configuration, url, host, port, workers)


def _watch(parent: int) -> None:
    """Stop when the command that started us is gone, so that a killed one leaves nothing."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _demand_free(host: str, port: int) -> None:
    """End with one clear line when somebody listens there, before anything else is started."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = "it is in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
        err.print(
            f"[red]error:[/red] Cannot listen on {escape(host)} port {port}: {why}.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1) from error


def _open_files() -> None:
    """Allow this process and its children as many open files as the system lets it have.

    A connection is one, and shells and services allow 1,024: so many that said nothing for a
    minute, and neither PostgreSQL nor a client was reached.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if resource.RLIM_INFINITY != soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _configured(given: Settings, host: str, port: int) -> Settings:
    """Let the address follow host and port unless the operator set it, here and in children."""
    if "public_url" not in given.model_fields_set:
        here = {"public_url": _address(host, port), "public_url_from_host": True}
        given = given.model_copy(update=here)
    os.environ["PARCOURS_PUBLIC_URL"] = given.public_url
    os.environ["PARCOURS_PUBLIC_URL_FROM_HOST"] = str(int(given.public_url_from_host))
    os.environ["PARCOURS_DATA_DIR"] = str(given.home)
    return given


def _address(host: str, port: int) -> str:
    """Return where this machine reaches the server, whatever stands before it in public."""
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _serve(configuration: Settings, url: str, host: str, port: int, workers: int) -> None:
    """Serve until told to stop; requests in flight are answered first."""
    os.environ["PARCOURS_DATABASE_URL"] = url
    threading.Thread(target=_announce, args=(_address(host, port),), daemon=True).start()
    uvicorn.run(
        "api.main:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers if workers > 1 else None,
        log_config=None,  # as `app.logs` has it
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `api.forwarded` reads them, the forwarded host included
        timeout_graceful_shutdown=3,  # worker and PostgreSQL need the rest of the ten seconds
        # A process that is slow to start on a busy machine is not a dead one.
        timeout_worker_healthcheck=60,
        timeout_keep_alive=30,
        http="api.connection:Connection",
    )


def _announce(url: str) -> None:
    """Say that the server is ready once it answers."""
    while True:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/readyz", timeout=2, trust_env=False).is_success:
                sys.stdout.write(f"ready {url}\n")
                sys.stdout.flush()
                return
        time.sleep(0.05)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _worker_process(configuration: Settings) -> Iterator[None]:
    """Keep a worker process running, and start it again when it dies."""
    stopping = threading.Event()
    running: list[subprocess.Popen[bytes]] = []
    environment = dict(os.environ)
    if configuration.database_url is None:
        environment.pop("PARCOURS_DATABASE_URL", None)

    def keep() -> None:
        while not stopping.is_set():
            process = subprocess.Popen(  # noqa: S603  # ourselves
                [sys.executable, "-m", "api.worker", "--parent", str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
            )
            running[:] = [process]
            process.wait()
            if not stopping.wait(1.0):
                logging.getLogger("parcours").error("the worker ended; starting it again")

    thread = threading.Thread(target=keep, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        for process in running:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        thread.join(timeout=2)


def worker(data_dir: DataDir = None) -> None:
    """Run the background jobs alone: pipeline, deliveries, lake, segments, matching and more."""
    configuration = settings(data_dir)
    Vault(configuration)
    Keystore(configuration)
    os.environ["PARCOURS_DATA_DIR"] = str(configuration.home)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "api.worker"])  # noqa: S606  # ourselves
