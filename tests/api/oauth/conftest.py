"""Fixtures of the OAuth tests: those of one file share a database, each makes its own clients."""

from collections.abc import Iterator
from typing import Annotated, Any, cast
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import problems
from api.auth import Caller, requires
from api.main import create_app
from app import db
from app.access import sources
from app.db import Sessions
from app.settings import Settings
from tests.api.oauth.wire import Forge, Known, our_key, part, register, token_of


@pytest.fixture(scope="module")
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A database of the file's own: to clone one for each test takes longer than the tests do."""
    url, name = sa.make_url(server_url), f"oauth_{uuid4().hex[:12]}"
    admin = db.engine(server_url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(
            sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        )
    yield url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture(scope="module")
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = db.engine(database_url)
    yield db.sessions(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, database_url: str) -> Settings:
    home = tmp_path_factory.mktemp("oauth")
    return Settings(database_url=database_url, data_dir=home, public_url="https://parcours.test")


@pytest.fixture(scope="module")
def server(settings: Settings, sessions: Sessions) -> Iterator[TestClient]:
    app = create_app(settings, sessions)
    with TestClient(app, base_url=settings.public_url, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def write_key(sessions: Sessions) -> str:
    with sessions.begin() as session:
        return sources.add(session, "web")[1]


@pytest.fixture
def client(sessions: Sessions) -> Known:
    return register(sessions, "profiles:read", "segments:read", purposes=("ads", "service"))


@pytest.fixture(scope="module")
def issuer(server: TestClient) -> str:
    return str(cast(FastAPI, server.app).state.settings.public_url)


@pytest.fixture(scope="module")
def guarded(server: TestClient) -> Iterator[TestClient]:
    """A server of two routes that share the database, the settings and the key of the real one."""
    app = FastAPI()
    app.state = cast(FastAPI, server.app).state
    problems.install(app)

    @app.get("/one")
    def one(caller: Annotated[Caller, requires("profiles:read")]) -> dict[str, Any]:
        return {"client": caller.client_id, "purposes": sorted(caller.purposes)}

    @app.get("/both")
    def both(caller: Annotated[Caller, requires("profiles:read", "identity:admin")]) -> str:
        return caller.client_id

    with TestClient(app) as guarded:
        yield guarded


@pytest.fixture
def forge(server: TestClient, sessions: Sessions, client: Known) -> Forge:
    return Forge(our_key(sessions), part(token_of(server, client), 1))
