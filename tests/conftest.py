"""One real PostgreSQL for all tests, migrated once per worker; nothing survives a test."""

import gc
import os
import shutil
import socket
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session, sessionmaker

import consent
from api.main import create_app
from app import db, schema
from app.access import clients, sources
from app.db import Sessions
from app.destinations import seal
from app.postgres import embedded
from app.settings import Settings


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests themselves, once they are read, to no collector of garbage.

    Five thousand of them and the product are a million objects that stay: to look through them
    again and again took a quarter of the time of reading them, and a tenth of that of the tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """Let go of all at the end: DuckDB's binding counts what would be left, and says so."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start whole products: few tests each, and as long as hundreds.

    By the number of tests, as pytest-xdist orders files, they come last, one core idle meanwhile.
    """
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


#: A database whose test is over.
_over: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not (
            str(address[0]).startswith("127.") or address[0] in ("::1", "localhost")
        ):
            raise RuntimeError(f"a test tried to reach {address[0]}")
        connect(self, address)

    socket.socket.connect = guarded  # type: ignore[method-assign,assignment]  # the guard itself
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]  # put back


@pytest.fixture(autouse=True, scope="session")
def _destination_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Secrets of destinations are sealed in tests too, also where no server was made."""
    seal.use(Settings(data_dir=tmp_path_factory.mktemp("keys")))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The address of a PostgreSQL: the one that is configured, or an embedded one."""
    configured = os.environ.get("PARCOURS_DATABASE_URL")
    if configured:
        yield configured
        _drop(configured)
        _admin(configured).dispose()
        return
    # Not in pytest's own directory: each further pytest on the machine shuts that to all but its
    # user, and as root PostgreSQL runs under another account, which then panics.
    # In memory where there is room: to clone a database, as a thousand tests do, took .2 instead of
    # 2.8 s beside other work that writes to the disk.
    with (
        TemporaryDirectory(prefix="parcours-tests-", dir=_in_memory()) as home,
        embedded(Path(home)) as url,
    ):
        # Only a crash of the machine could tell, and each test that clones a database waits for the
        # disk otherwise. Tests of kills and full disks start a product of their own.
        _execute(url, "ALTER SYSTEM SET fsync = off")
        _execute(url, "SELECT pg_reload_conf()")
        yield url
        _admin(url).dispose()


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated database that `own_database` clones."""
    name = f"template_{uuid4().hex[:12]}"
    _execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE template0')
    engine = db.engine(_named(server_url, name))
    schema.migrate(engine)
    with db.sessions(engine).begin() as session:
        consent.catalogue.seed(session)
    engine.dispose()
    yield name
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """The address of a database of the test's own, for commits, locks and NOTIFY."""
    name = f"test_{uuid4().hex[:12]}"
    _clone(server_url, template, name)
    yield _named(server_url, name)
    _drop_later(server_url, name)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    """Sessions on a database of the test's own."""
    engine = db.engine(database_url)
    yield db.sessions(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def kept_engine(server_url: str, template: str) -> Iterator[sa.Engine]:
    """One engine on one migrated database, for tests that roll back."""
    name = f"kept_{uuid4().hex[:12]}"
    _clone(server_url, template, name)
    engine = db.engine(_named(server_url, name))
    yield engine
    engine.dispose()
    _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def session(kept_engine: sa.Engine) -> Iterator[Session]:
    """A session that may commit as often as it likes; nothing survives the test."""
    with kept_engine.connect() as connection:
        outer = connection.begin()
        with sessionmaker(connection, join_transaction_mode="create_savepoint")() as session:
            yield session
        outer.rollback()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """The configuration of the test's own server."""
    return Settings(
        database_url=database_url, data_dir=tmp_path, public_url="https://parcours.test"
    )


@pytest.fixture
def server(settings: Settings, sessions: Sessions) -> Iterator[TestClient]:
    """The whole application, without a network in between."""
    with TestClient(
        create_app(settings, sessions), base_url="https://parcours.test", follow_redirects=False
    ) as client:
        yield client


@pytest.fixture
def write_key(sessions: Sessions) -> str:
    """The write key of a source `web`."""
    with sessions.begin() as session:
        return sources.add(session, "web")[1]


@pytest.fixture
def token(server: TestClient, sessions: Sessions) -> Callable[..., dict[str, str]]:
    """Make a client with these scopes and purposes and return its Authorization header."""

    def make(*scopes: str, purposes: tuple[str, ...] = ()) -> dict[str, str]:
        with sessions.begin() as session:
            made, secret = clients.add(
                session, "test", scopes=scopes or clients.SCOPES, purposes=purposes
            )
            client_id = made.client_id
        answer = server.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(client_id, secret),
        )
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    return make


def _in_memory() -> str | None:
    """A folder whose files are in memory; None where there is none with 8 GB left."""
    folder = Path("/dev/shm")  # noqa: S108  # only to make a folder of the tests' own in it
    if folder.is_dir() and shutil.disk_usage(folder).free > 8 * 1024**3:
        return str(folder)
    return None


def _clone(url: str, template: str, name: str) -> None:
    # By files: half the time of copying 12 MB through the log, which is for larger templates.
    _execute(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')


def _drop_later(url: str, name: str) -> None:
    """End what is connected to a database, and drop that of the test before.

    Who drops one whose connections have just been closed finds them, and looks again a tenth of a
    second later: 1,365 tests waited for that, a ninth of the time of all.
    """
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608  # our own name
    _execute(url, ended)
    _drop(url)
    _over.append(name)


def _drop(url: str) -> None:
    while _over:
        _execute(url, f'DROP DATABASE "{_over.pop()}" WITH (FORCE)')


def _named(url: str, database: str) -> str:
    return sa.make_url(url).set(database=database).render_as_string(hide_password=False)


@cache
def _admin(url: str) -> sa.Engine:
    """One connection for all databases that are made and dropped: it costs half of what they do."""
    engine = db.engine(_named(url, "postgres"), check=False)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _execute(url: str, statement: str) -> None:
    with _admin(url).connect() as connection:
        connection.execute(sa.text(statement))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that the tests measured.

    Here and not where they are measured: with -n the process that prints reads this file alone.
    """
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    figures = [
        f"{report.nodeid.rpartition('::')[2]}: {name} = {value}"
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
    ]
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(figure)
