# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of the matrix: one statement over one pass of the events, one row of lists back."""

from datetime import datetime

from app.journeys.matrix_request import MatrixQuery
from app.journeys.predicate import POSITION, Parameters, known, microseconds, moment, sql


def cells_query(query: MatrixQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return one SELECT of four lists: totals, cells, stages, moves to another channel."""
    return f"""{_relations(query, as_of, parameters)}
SELECT (SELECT list(total) FROM total), (SELECT list(cells) FROM cells),
    (SELECT list(stages) FROM stages), (SELECT list(moves) FROM moves)
"""


def people_query(
    query: MatrixQuery, as_of: datetime, parameters: Parameters, *, relation: str, where: str
) -> str:
    """Return the SELECT of the people who are in a relation of the matrix, ascending."""
    return (
        f"{_relations(query, as_of, parameters)}"
        f" SELECT DISTINCT person_id FROM {relation} WHERE {where} ORDER BY person_id"
    )


def _relations(query: MatrixQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return the WITH clause of everything that a matrix counts.

    Stages are numbered by their order, channels as the journey lists them, and a cell is
    stage x channels + channel, so that only integers of our own appear in the text. Times are
    whole microseconds (0.95 of 10, 10, 30 and 5 s is 26.999999999999993 s in doubles, and a person
    silent for 27 s would be dropped one instant too early). A single statement needs no temporary
    table, hence leaves nothing behind.
    """
    end = microseconds(min(as_of, query.range.end or as_of))
    horizon = f"{parameters.bind(end)}::BIGINT"
    channels = len(query.journey.channels)
    last_stage = len(query.journey.stages) - 1
    return f"""
WITH {touches(query, as_of, parameters)},
step AS MATERIALIZED (
    SELECT person_id, pos, t, cell, cell // {channels} AS stage, cell % {channels} AS channel,
        lead(cell) OVER person % {channels} AS next_channel, lead(t) OVER person AS next_t,
        lag(cell) OVER person IS DISTINCT FROM cell AS visit_starts
    FROM mapped WINDOW person AS (PARTITION BY person_id ORDER BY pos)),
visit AS (
    SELECT person_id, cell, lead(t) OVER (PARTITION BY person_id ORDER BY pos) - t AS dwell
    FROM step WHERE visit_starts),
total AS (
    SELECT stage, channel, count(*) AS events, count(DISTINCT person_id) AS profiles,
        (SELECT count(*) FROM touched) AS all_events
    FROM step GROUP BY GROUPING SETS ((stage), (channel), ())),
idle AS (
    SELECT stage, round(quantile_cont(next_t - t, 0.95)) AS idle_after
    FROM step WHERE next_t IS NOT NULL GROUP BY stage),
reach AS (
    SELECT person_id, stage, min(pos) AS first_pos, arg_min(cell, pos) AS first_cell
    FROM step GROUP BY person_id, stage),
later AS (
    SELECT *, min(first_pos) OVER (
        PARTITION BY person_id ORDER BY stage DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later_pos
    FROM reach),
leaving AS (
    SELECT person_id, stage, later_pos, max(pos) AS pos, arg_max(cell, pos) AS cell
    FROM step JOIN later USING (person_id, stage)
    WHERE later_pos IS NULL OR pos < later_pos
    GROUP BY ALL),
latest AS (
    SELECT person_id, max(t) AS last_t, arg_max(stage, pos) AS latest, max(stage) AS furthest
    FROM step GROUP BY person_id),
left_by AS (
    SELECT person_id, cell, CASE WHEN later_pos IS NOT NULL THEN 'moved'
            WHEN {horizon} - last_t > idle_after THEN 'dropped'
            WHEN {horizon} - last_t <= idle_after THEN 'in_progress' END AS how
    FROM leaving JOIN latest USING (person_id) LEFT JOIN idle USING (stage)),
outcome AS (
    SELECT cell, count(*) AS exits, count(*) FILTER (how = 'moved') AS moved,
        count(*) FILTER (how = 'dropped') AS dropped,
        count(*) FILTER (how = 'in_progress') AS in_progress
    FROM left_by GROUP BY cell),
place AS (
    SELECT cell, count(*) AS events, count(DISTINCT person_id) AS profiles
    FROM step GROUP BY cell),
stay AS (
    SELECT cell, count(dwell) AS dwells, round(quantile_cont(dwell, 0.5)) AS dwell_p50,
        round(quantile_cont(dwell, 0.9)) AS dwell_p90
    FROM visit GROUP BY cell),
again AS (
    SELECT cell, count(*) AS repeaters
    FROM (SELECT cell FROM visit GROUP BY person_id, cell HAVING count(*) > 1) GROUP BY cell),
opening AS (SELECT first_cell AS cell, count(*) AS first_contacts FROM reach GROUP BY cell),
cells AS (
    SELECT cell AS key, * EXCLUDE (cell)
    FROM place LEFT JOIN outcome USING (cell) LEFT JOIN stay USING (cell)
        LEFT JOIN again USING (cell) LEFT JOIN opening USING (cell)),
standing AS (
    SELECT {query.journey.stage_rule} AS stage, count(*) AS current FROM latest GROUP BY stage),
stages AS (
    SELECT number AS key, idle_after, current
    FROM range({last_stage + 1}) AS one(number)
        LEFT JOIN idle ON idle.stage = number LEFT JOIN standing ON standing.stage = number),
moves AS (
    SELECT cell, next_channel AS channel, count(*) AS n
    FROM step WHERE next_channel <> channel GROUP BY ALL)
"""


def touches(query: MatrixQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return every event with its cell, NULL when no touchpoint claims it; then those mapped.

    Rules are written as one CASE, whose first true branch wins, as the definition says.
    """
    journey = query.journey
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
    conditions = [known(as_of, parameters)]
    if query.range.start is not None:
        conditions.append(f"occurred_at >= {moment(query.range.start, parameters)}")
    if query.range.end is not None:
        conditions.append(f"occurred_at < {moment(query.range.end, parameters)}")
    return f"""touched AS MATERIALIZED (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        CASE {branches} END::BIGINT AS cell
    FROM event WHERE {" AND ".join(conditions)}),
mapped AS (
    SELECT person_id, epoch_us(occurred_at) AS t, cell, {POSITION} AS pos
    FROM touched WHERE cell IS NOT NULL)"""
