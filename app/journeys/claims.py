# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""Which cell of a journey claims an event: the SQL that numbers cells."""

from datetime import datetime

from app.journeys.definition import Journey
from app.journeys.matrix_request import MatrixQuery
from app.journeys.predicate import POSITION, Parameters, known, moment, sql


def cell_of(journey: Journey, parameters: Parameters) -> str:
    """Return the cell of an event, NULL when no touchpoint claims it.

    Stages are numbered by their order, channels as the journey lists them, and a cell is stage x
    channels + channel, so that only integers of our own appear in the text. Rules are written as
    one CASE, whose first true branch wins, as the definition says.
    """
    ranks = {
        stage.id: rank
        for rank, stage in enumerate(sorted(journey.stages, key=lambda stage: stage.order))
    }
    columns = {channel.id: column for column, channel in enumerate(journey.channels)}
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)}"
        f" THEN {ranks[point.stage] * len(columns) + columns[point.channel]}"
        for point in journey.touchpoints
    )
    return f"CASE {branches} END::BIGINT"


def touches(query: MatrixQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return every event with its cell, NULL when no touchpoint claims it; then those mapped."""
    conditions = [known(as_of, parameters)]
    if query.range.start is not None:
        conditions.append(f"occurred_at >= {moment(query.range.start, parameters)}")
    if query.range.end is not None:
        conditions.append(f"occurred_at < {moment(query.range.end, parameters)}")
    return f"""touched AS MATERIALIZED (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        {cell_of(query.journey, parameters)} AS cell
    FROM event WHERE {" AND ".join(conditions)}),
mapped AS (
    SELECT person_id, epoch_us(occurred_at) AS t, cell, {POSITION} AS pos
    FROM touched WHERE cell IS NOT NULL)"""
