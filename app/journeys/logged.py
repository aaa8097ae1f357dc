# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Writes the event log of a journey: of whom consent allows, as of a moment."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import duckdb

from app.db import Sessions
from app.journeys import event_log
from app.journeys.analyses import nameable
from app.journeys.definition import Journey
from app.journeys.event_log import LoggedEvent
from app.journeys.paths_request import PathsRequest
from app.journeys.predicate import POSITION, Parameters, known
from app.journeys.routes import label_of
from app.lake import turns
from app.lake.copy import copy_new
from app.lake.duckdb_engine import open_lake
from identity import people

PORTION = 10_000


def log(
    sessions: Sessions,
    directory: Path,
    journey: Journey,
    out: BinaryIO,
    *,
    purpose: str,
    as_of: datetime | None,
    named: bool,
) -> list[str]:
    """Write the log of all who may be used for the purpose; return the profiles that are named.

    With `named` a case is called after its profile, and only people who may be named are in it;
    else by its number, in the order in which people first came. It holds events of the journey's
    touchpoints alone. Raises PurposeNotFound and AnalysesBusy.
    """
    moment = as_of or datetime.now(UTC)
    copy_new(sessions, directory)
    with (
        turns.turn(),
        sessions() as session,
        open_lake(session, directory, purpose) as lake,
    ):
        parameters = Parameters()
        text = _relation(journey, moment, parameters)
        names = None
        if named:
            rows = lake.connection.execute(
                f"{text} SELECT DISTINCT person_id FROM placed ORDER BY person_id",
                parameters.values,
            ).fetchall()
            allowed, _ = nameable(session, purpose, [int(row[0]) for row in rows])
            ids = people.profile_ids(session, sorted(allowed))
            names = {person: str(profile) for person, profile in ids.items()}
        events = _events(lake.connection, text, parameters)
        for part in event_log.write(journey, events, purpose=purpose, as_of=moment, names=names):
            out.write(part)
        return sorted((names or {}).values())


def _relation(journey: Journey, as_of: datetime, parameters: Parameters) -> str:
    label = label_of(PathsRequest(journey=journey, label="touchpoint"), parameters)
    return f"""
WITH touched AS (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        coalesce(name, type) AS name, {label} AS point
    FROM event WHERE {known(as_of, parameters)}),
placed AS (
    SELECT person_id, occurred_at, source, name, point, {POSITION} AS pos,
        min(occurred_at) OVER (PARTITION BY person_id) AS since
    FROM touched WHERE point IS NOT NULL)"""


def _events(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Parameters
) -> Iterator[LoggedEvent]:
    found = connection.execute(
        f"""{text} SELECT person_id, name, epoch_us(occurred_at), source, point FROM placed
            ORDER BY since, person_id, pos""",
        parameters.values,
    )
    while rows := found.fetchmany(PORTION):
        for person, name, at, source, point in rows:
            moment = datetime.fromtimestamp(at // 1_000_000, UTC).replace(
                microsecond=at % 1_000_000
            )
            yield LoggedEvent(person, name, moment, source, point)
