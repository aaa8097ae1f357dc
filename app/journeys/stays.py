# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of what happens at touchpoints: visits, and how people leave a stage (§4.4-4.6)."""

from collections.abc import Mapping
from datetime import datetime

from app.journeys.definition import Journey
from app.journeys.funnel_request import TimeRange
from app.journeys.map_parts import Channel
from app.journeys.match import Match
from app.journeys.predicate import POSITION, SAID, Parameters, known, microseconds, moment, sql


def stays(
    journey: Journey,
    range: TimeRange,
    as_of: datetime,
    parameters: Parameters,
    *,
    marks: Mapping[str, Match] | None = None,
) -> str:
    """Return a WITH clause of touches and visits, and of how people left each stage.

    `placed(person_id, pos, t, point, lost, ...)`: every event of a touchpoint, or of a mark, with a
    column per mark; `point` counts the journey's touchpoints from 0, NULL for a mark alone.
    `step`: those of touchpoints, with `stage`, `channel`, `effort` and the next one. `visit`:
    neighbours at one touchpoint together, with the next visit. `left_by(person_id, stage, point,
    channel, pos, t, how)`: one row per person and stage reached, `how` arrived (of the last stage),
    moved, dropped or in_progress, NULL where nobody's silence is known; `idle(stage, idle_after)`.
    Same stages, places and idle times as in the matrix.
    """
    flags = dict(marks or {})
    columns = [f"{sql(match, parameters)} AS {name}" for name, match in flags.items()]
    lost = " OR ".join(sql(match, parameters) for match in journey.lost) or "false"
    columns.append(f"({lost}) AS lost")
    names = [*flags, "lost"]
    conditions = [known(as_of, parameters)]
    if range.start is not None:
        conditions.append(f"occurred_at >= {moment(range.start, parameters)}")
    if range.end is not None:
        conditions.append(f"occurred_at < {moment(range.end, parameters)}")
    end = microseconds(min(as_of, range.end or as_of))
    last = len(journey.stages) - 1
    horizon = f"{parameters.bind(end)}::BIGINT"
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)} THEN {number}"
        for number, point in enumerate(journey.touchpoints)
    )
    return f"""
WITH place(point, stage, channel, effort) AS (VALUES {_places(journey)}),
horizon AS (SELECT {horizon} AS ends),
touched AS MATERIALIZED (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        {SAID} AS said,
        CASE {branches} END::BIGINT AS point, {", ".join(columns)}
    FROM event WHERE {" AND ".join(conditions)}),
placed AS MATERIALIZED (
    SELECT person_id, epoch_us(occurred_at) AS t, said AS properties, point, {", ".join(names)},
        {POSITION} AS pos
    FROM touched WHERE point IS NOT NULL OR {" OR ".join(names)}),
step AS MATERIALIZED (
    SELECT s.*, lead(t) OVER person AS next_t, lead(stage) OVER person AS next_stage,
        lead(channel) OVER person AS next_channel,
        lag(point) OVER person IS DISTINCT FROM point AS starts,
        lead(t) OVER (PARTITION BY person_id, point ORDER BY pos) AS again_t
    FROM (SELECT person_id, pos, t, point, stage, channel, effort
        FROM placed JOIN place USING (point)) s
    WINDOW person AS (PARTITION BY person_id ORDER BY pos)),
visit AS MATERIALIZED (
    SELECT person_id, pos, t, point, stage, channel, effort, lead(pos) OVER person AS next_pos,
        lead(t) OVER person AS next_t, lead(stage) OVER person AS next_stage,
        lead(effort) OVER person AS next_effort
    FROM step WHERE starts WINDOW person AS (PARTITION BY person_id ORDER BY pos)),
idle AS (
    SELECT stage, round(quantile_cont(next_t - t, 0.95)) AS idle_after
    FROM step WHERE next_t IS NOT NULL GROUP BY stage),
reach AS (
    SELECT person_id, stage, min(pos) AS first_pos FROM step GROUP BY person_id, stage),
later AS (
    SELECT *, min(first_pos) OVER (
        PARTITION BY person_id ORDER BY stage DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later_pos
    FROM reach),
leaving AS (
    SELECT person_id, stage, later_pos, max(pos) AS pos, arg_max(point, pos) AS point,
        arg_max(channel, pos) AS channel, max(t) AS t
    FROM step JOIN later USING (person_id, stage)
    WHERE later_pos IS NULL OR pos < later_pos
    GROUP BY ALL),
latest AS (SELECT person_id, max(t) AS last_t FROM step GROUP BY person_id),
given_up AS (SELECT person_id, max(pos) AS lost_pos FROM placed WHERE lost GROUP BY person_id),
left_by AS MATERIALIZED (
    SELECT person_id, stage, point, channel, pos, t, CASE WHEN stage = {last} THEN 'arrived'
            WHEN later_pos IS NOT NULL THEN 'moved' WHEN lost_pos > pos THEN 'dropped'
            WHEN ends - last_t > idle_after THEN 'dropped'
            WHEN ends - last_t <= idle_after THEN 'in_progress' END AS how
    FROM leaving JOIN latest USING (person_id) LEFT JOIN idle USING (stage)
        LEFT JOIN given_up USING (person_id) CROSS JOIN horizon)"""


def channel_ids(journey: Journey) -> list[str]:
    """The channels in the order in which the relations number them."""
    return [channel.id for channel in journey.channels]


def stage_ids(journey: Journey) -> list[str]:
    """The stages in the order in which the relations number them."""
    return [stage.id for stage in sorted(journey.stages, key=lambda stage: stage.order)]


def _places(journey: Journey) -> str:
    stages, channels = stage_ids(journey), channel_ids(journey)
    of: dict[str, Channel] = {channel.id: channel for channel in journey.channels}
    rows = []
    for number, point in enumerate(journey.touchpoints):
        rank = of[point.channel].effort_rank
        effort = "NULL::BIGINT" if rank is None else f"{rank}::BIGINT"
        place = f"{stages.index(point.stage)}::BIGINT, {channels.index(point.channel)}::BIGINT"
        rows.append(f"({number}::BIGINT, {place}, {effort})")
    return ", ".join(rows)
