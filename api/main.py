"""Puts the server together; nothing happens at import time."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from api import problems
from api.body_limit import BodyLimit
from api.cors import TrackingCors
from api.described import Described
from api.direct import Direct
from api.forwarded import Callers, Forwarded
from api.frame import Frame
from api.heads import Heads
from api.known_sources import KnownSources
from api.request_body import Budget
from api.routes import (
    accounts,
    ages,
    analyses,
    analyses_over_time,
    answer_files,
    breaches,
    catalogue,
    changes,
    clients,
    collect,
    computed_traits,
    consents,
    denied,
    destinations,
    gpc,
    health,
    identity,
    identity_explanations,
    identity_models,
    identity_previews,
    identity_reviews,
    identity_rules,
    journey_kpis,
    journey_logs,
    journey_maps,
    journeys,
    ledger,
    metrics,
    oauth,
    opendsr,
    pixel,
    plan_checks,
    plans,
    privacy,
    privacy_packages,
    processing,
    processors,
    profile_batches,
    profiles,
    reads,
    receipts,
    rejected_events,
    retention,
    saved_analyses,
    segment_members,
    segment_profiles,
    segments,
    sends,
    simulations,
    sources,
    tracking_settings,
    trait_rules,
    vault,
    vendor_lists,
)
from api.slashes import EncodedSlashes
from app import db, logs
from app.db import Sessions
from app.destinations import folders, seal
from app.errors import DatabaseUnavailable
from app.events.held import Holding
from app.events.meter import Meter
from app.events.writer import Writer
from app.health import Probe, Room
from app.lake import turns
from app.settings import Settings
from app.suppression import gate
from identity import identifiers

DESCRIPTION = """\
A consent-first customer data platform: events with consent come in, resolved people, segments and
journeys come out. Every read of personal data states a purpose and gets only what that person's
consent allows for it; `withheld` says what was left out and why.
"""


#: Bytes of tracking requests in one process, with what becomes of them: 100 events are 50 KB, and
#: 200 KB with what is made of them. With 32 MB floods of hostile bodies took up to 297 MB.
MOST_BYTES = 24 * 1024 * 1024
#: Bytes of all other requests in one process: the largest body that is full of values takes 24 MB.
MOST_API_BYTES = 64 * 1024 * 1024
#: What pages of any origin may call.
TRACKING = (collect, gpc, pixel, tracking_settings)


#: What clients with a token call.
RESOURCES = (
    consents,
    denied,
    ages,
    breaches,
    ledger,
    profiles,
    profile_batches,
    accounts,
    segment_profiles,
    trait_rules,
    computed_traits,
    segment_members,
    segments,
    sends,
    journey_logs,
    journey_maps,
    journeys,
    analyses,
    analyses_over_time,
    answer_files,
    journey_kpis,
    saved_analyses,
    catalogue,
    changes,
    clients,
    destinations,
    identity,
    identity_explanations,
    identity_models,
    identity_previews,
    identity_reviews,
    identity_rules,
    plans,
    plan_checks,
    opendsr,
    privacy,
    privacy_packages,
    processing,
    processors,
    receipts,
    reads,
    rejected_events,
    retention,
    simulations,
    sources,
    vault,
    vendor_lists,
)


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return all routes, which know nothing of one server: what they serve is in `app.state`.

    Once for all servers of a process: FastAPI compiles them when the first request looks for its
    own, and with 170 of them each server of each test took .65 s of CPU for that.
    """
    router = APIRouter()
    for module in (*TRACKING, oauth, health, metrics):
        router.include_router(module.router)
    for module in RESOURCES:
        router.include_router(module.router, responses=problems.invalid_documented())
    return tuple(router.routes)


def create_app(settings: Settings, sessions: Sessions) -> FastAPI:
    """Return the server for this configuration and database."""

    identifiers.read_phones_of(settings.default_region)
    holding = Holding.of(settings)
    gate.use(settings)
    turns.use(settings)
    seal.use(settings)
    folders.use(settings)

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        # Nothing here asks the database: a process that starts while it is away answers 503, and
        # one that fails to start would have uvicorn end all the others.
        server.state.meter = Meter(sessions)
        server.state.writer = Writer(
            sessions, Room(settings.home, settings.least_free_bytes), holding=holding
        )
        yield
        await asyncio.gather(
            asyncio.to_thread(server.state.writer.close),
            asyncio.to_thread(server.state.meter.close),
        )

    server = Described(
        title="Parcours",
        version="0.1.0",
        summary="Consent-first customer data platform with identity resolution.",
        description=DESCRIPTION,
        lifespan=lifespan,
        # Spans carry paths, and paths name people. To ask for it costs 8 µs at each request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    server.state.settings = settings
    server.state.sessions = sessions
    server.state.probe = Probe(sessions, settings.home, settings.least_free_bytes)
    server.state.budget = Budget(MOST_BYTES)
    server.state.sources = KnownSources(sessions, settings)
    server.state.callers = Callers(settings.trusted_proxies)
    server.router.routes.extend(_routes())
    problems.install(server)
    # From the innermost layer to the outermost. Tracking calls go no further than Direct: nothing
    # in them hangs on who passed them on, and their bodies are bounded where they are read.
    server.add_middleware(EncodedSlashes)
    server.add_middleware(Heads, own=pixel.OWN_HEADS)
    server.add_middleware(Forwarded, trusted=settings.trusted_proxies)
    others = Budget(MOST_API_BYTES)
    server.add_middleware(BodyLimit, largest=settings.max_body_bytes, budget=others)
    server.add_middleware(Direct, handlers=collect.HANDLERS)
    server.add_middleware(Frame)
    # Outside of everything that answers, so that every answer carries the headers, errors included.
    server.add_middleware(
        TrackingCors,
        paths=[route.path for module in TRACKING for route in module.router.routes],
        also={("POST", "/v1/consents")},
    )
    return server


def from_environment() -> FastAPI:
    """Return the server as `parcours serve` starts it in each of its processes.

    The garbage collector leaves alone what is there from the start.
    """
    settings = Settings()
    logs.configure(settings.log_level)
    if settings.database_url is None:
        raise DatabaseUnavailable("PARCOURS_DATABASE_URL is not set; use `parcours serve`")
    _end_with_parent()
    server = create_app(settings, db.sessions(db.engine(settings.database_url)))
    gc.collect()
    gc.freeze()
    return server


def _end_with_parent() -> None:
    """Stop when the process that started us is gone, or a `kill -9` of it leaves the port taken."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
