"""Puts the server together; nothing happens at import time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import sqlalchemy as sa
from fastapi import FastAPI, Request
from pydantic_core import PydanticSerializationError
from starlette.responses import Response

from api import problems
from api.body_limit import BodyLimit
from api.cors import TrackingCors
from api.errors import ValueUnstorable
from api.forwarded import Forwarded
from api.routes import (
    changes,
    collect,
    consents,
    destinations,
    health,
    identity,
    journeys,
    oauth,
    pixel,
    profiles,
    segments,
    tracking_settings,
)
from app import db
from app.db import Sessions
from app.errors import DatabaseUnavailable
from app.events.writer import Writer
from app.settings import Settings

log = logging.getLogger("parcours.api")

DESCRIPTION = """\
A consent-first customer data platform: events with consent come in, resolved people, segments and
journeys come out. Every read of personal data states a purpose and gets only what that person's
consent allows for it; `withheld` says what was left out and why.
"""


#: What pages of any origin may call.
TRACKING = (collect, pixel, tracking_settings)


def create_app(settings: Settings, sessions: Sessions) -> FastAPI:
    """Return the server for this configuration and database."""

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        server.state.writer = Writer(sessions)
        yield
        await asyncio.to_thread(server.state.writer.close)

    server = FastAPI(
        title="Parcours",
        version="0.1.0",
        summary="Consent-first customer data platform with identity resolution.",
        description=DESCRIPTION,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    server.state.settings = settings
    server.state.sessions = sessions
    server.state.sources = collect.Sources(sessions)
    for module in (*TRACKING, oauth, health):
        server.include_router(module.router)
    for module in (consents, profiles, segments, journeys, changes, destinations, identity):
        server.include_router(module.router, responses=problems.invalid_documented())
    problems.install(server)
    server.middleware("http")(_frame)
    server.add_middleware(BodyLimit, largest=settings.max_body_bytes)
    # Outside of everything that answers, so that every answer carries the headers, errors included.
    server.add_middleware(
        TrackingCors,
        paths=[route.path for module in TRACKING for route in module.router.routes],
        also={("POST", "/v1/consents")},
    )
    server.add_middleware(Forwarded, trusted=settings.trusted_proxies)
    return server


async def _frame(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give every request an id and every unforeseen error an answer that says nothing inside."""
    request.state.request_id = uuid4().hex
    try:
        response = await call(request)
    except sa.exc.OperationalError:
        log.error("request %s: the database cannot be reached", request.state.request_id)
        response = problems.answer(request, DatabaseUnavailable("the database cannot be reached"))
    except (sa.exc.DataError, UnicodeEncodeError, PydanticSerializationError):
        response = problems.answer(request, ValueUnstorable("NUL, surrogate or out of range"))
    except Exception as error:
        log.error("request %s failed: %s", request.state.request_id, type(error).__name__)
        log.debug("request %s", request.state.request_id, exc_info=True)
        response = problems.unexpected(request)
    response.headers["Request-Id"] = request.state.request_id
    return response


def from_environment() -> FastAPI:
    """Return the server as `parcours serve` starts it in each of its processes."""
    settings = Settings()
    if settings.database_url is None:
        raise DatabaseUnavailable("PARCOURS_DATABASE_URL is not set; use `parcours serve`")
    return create_app(settings, db.sessions(db.engine(settings.database_url)))
