"""Fixtures of the OAuth tests."""

from collections.abc import Iterator
from typing import Annotated, Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import problems
from api.auth import Caller, requires
from app.db import Sessions
from tests.api.oauth.wire import Forge, Known, our_key, part, register, token_of


@pytest.fixture
def client(sessions: Sessions) -> Known:
    return register(sessions, "profiles:read", "segments:read", purposes=("ads", "service"))


@pytest.fixture
def issuer(server: TestClient) -> str:
    return str(cast(FastAPI, server.app).state.settings.public_url)


@pytest.fixture
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
