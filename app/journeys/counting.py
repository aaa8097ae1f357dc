# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Counts where people go next from each touchpoint of a journey, over everybody, once an hour."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from app.db import Sessions, exclusively
from app.journeys import catalogue
from app.journeys.definition import Journey
from app.journeys.flow import ENOUGH, MOST
from app.journeys.predicate import POSITION, Parameters, known, sql
from app.journeys.tables import JourneyFlow, JourneyNext, JourneyVersion
from app.lake.copy import copy_new
from app.lake.duckdb_engine import open_lake

#: How old what is kept may be.
FRESH = timedelta(hours=1)
#: People that must have gone from one touchpoint to another for it to be kept.
LEAST = 5


def refresh(sessions: Sessions, directory: Path, *, now: datetime | None = None) -> int:
    """Compute the flow of each journey that has none of this hour; return of how many.

    Each is computed before the transaction that writes it: one that has written holds up whoever
    reads events in commit order until it ends, which is the pipeline and the lake itself.
    """
    now = now or datetime.now(UTC)
    with exclusively(sessions, "journey flow") as mine:
        due = _due(sessions, now) if mine else []
        if due:
            copy_new(sessions, directory)
        for version, journey in due:
            with sessions() as session, open_lake(session, directory, journey.purpose) as lake:
                flow = compute(lake.connection, journey, as_of=now)
            values = {"version": version.version, "computed_at": now}
            with sessions.begin() as session:
                session.execute(
                    insert(JourneyFlow)
                    .values(journey=version.key, **values)
                    .on_conflict_do_update(index_elements=["journey"], set_=values)
                )
                session.execute(sa.delete(JourneyNext).where(JourneyNext.journey == version.key))
                if flow:
                    rows = [{"journey": version.key, **one} for one in flow]
                    session.execute(insert(JourneyNext), rows)
        return len(due)


def _due(sessions: Sessions, now: datetime) -> list[tuple[JourneyVersion, Journey]]:
    with sessions() as session:
        fresh = {
            (row.journey, row.version)
            for row in session.scalars(
                sa.select(JourneyFlow).where(JourneyFlow.computed_at > now - FRESH)
            )
        }
        return [
            (version, journey)
            for version, journey in catalogue.list_all(session)
            if (version.key, version.version) not in fresh
        ]


def compute(
    connection: duckdb.DuckDBPyConnection, journey: Journey, *, as_of: datetime
) -> list[dict[str, Any]]:
    """Return the rows of JourneyNext: how many were at each touchpoint and where they went next,
    in all and, of enough, by the one before it. Neighbouring events at one touchpoint are one
    stop. Read-only.
    """
    parameters = Parameters()
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)} THEN {parameters.bind(point.id)}"
        for point in journey.touchpoints
    )
    rows = connection.execute(
        f"""
        WITH touched AS (
            SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
                CASE {branches} END AS label
            FROM event WHERE {known(as_of, parameters)}),
        placed AS (
            SELECT person_id, epoch_us(occurred_at) AS t, label, {POSITION} AS pos
            FROM touched WHERE label IS NOT NULL),
        stop AS (
            SELECT person_id, label, pos, t, lead(t) OVER person AS next_t FROM (
                SELECT *, lag(label) OVER person IS DISTINCT FROM label AS new FROM placed
                WINDOW person AS (PARTITION BY person_id ORDER BY pos))
            WHERE new WINDOW person AS (PARTITION BY person_id ORDER BY pos)),
        step AS (
            SELECT person_id, lag(label) OVER person AS before, label,
                lead(label) OVER person AS next, next_t - t AS pause
            FROM stop WINDOW person AS (PARTITION BY person_id ORDER BY pos))
        SELECT * FROM (
            SELECT before, label, next, count(*) AS n, round(quantile_cont(pause, 0.5)) AS p50,
                count(DISTINCT person_id) AS people,
                sum(count(*)) OVER (PARTITION BY grouping(before), before, label)::BIGINT AS total
            FROM step GROUP BY GROUPING SETS ((label, next), (before, label, next))
            HAVING grouping(before) = 1 OR before IS NOT NULL)
        WHERE people >= {LEAST} ORDER BY before NULLS FIRST, label, n DESC, next NULLS LAST""",
        parameters.values,
    ).fetchall()
    flow: dict[tuple[str, str], dict[str, Any]] = {}
    for before, label, following, n, pause, _, total in rows:
        if before is not None and total < ENOUGH:
            continue
        place = {"touchpoint": label, "before": before or ""}
        one = flow.setdefault((label, place["before"]), {**place, "total": total, "following": []})
        if following is not None and len(one["following"]) < MOST:
            one["following"].append([following, n, None if pause is None else pause / 1e6])
    return list(flow.values())
