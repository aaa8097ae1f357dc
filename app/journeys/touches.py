# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of attribution: touches in paths that end in a conversion, are lost, or may still end."""

from datetime import datetime

from app.journeys.attribution_request import AttributionQuery
from app.journeys.credit import MOST_PLAYERS, START
from app.journeys.funnel_request import microseconds_of
from app.journeys.paths_request import PathsRequest
from app.journeys.predicate import (
    POSITION,
    SAID,
    Parameters,
    during,
    known,
    microseconds,
    number_at,
    sql,
)
from app.journeys.routes import label_of

#: A conversion's credit, shared out by the place of a touch among the n of its path. The first and
#: the last of two have what the shares of three make of them: 50/50, 25/75 (Adobe's table).
_POSITIONS = {"position": (0.4, 0.4), "j_shaped": (0.2, 0.6), "inverse_j": (0.6, 0.2)}


def touches(query: AttributionQuery, as_of: datetime, parameters: Parameters) -> str:
    """Return a WITH clause that ends in `conversion`, `path`, `touch` and `credit`.

    `conversion(person_id, conv_pos, conv_t, value)`: one row per conversion in range. `path
    (path, person_id, segment, run, ended)`: one per path in range that has a touch. `touch(path,
    person_id, label, t, rank, n, conv_t, value, ended)`: one per touch of those, `label` NULL
    beyond `max_labels`. `credit`: touches of converted paths with their share by each rule.
    """
    converts = sql(query.conversion, parameters)
    fits = f"AND {sql(query.touches, parameters)}" if query.touches else ""
    label = label_of(PathsRequest(journey=query.journey, label=query.label), parameters)
    back = f"{parameters.bind(microseconds_of(query.lookback))}::BIGINT"
    now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
    value = "NULL::DOUBLE"
    if query.value is not None:
        value = number_at(query.value, parameters, said=SAID)
    ends = "CASE WHEN bool_or(near) THEN max(conv_t) ELSE max(t) END"
    half = f"{parameters.bind(float(microseconds_of(query.half_life)))}::DOUBLE"
    direct = f"{parameters.bind(list(query.direct))}::VARCHAR[]"
    return f"""
WITH touched AS MATERIALIZED (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id, {converts} AS won,
        CASE WHEN NOT {converts} {fits} THEN {label} END AS label,
        CASE WHEN {converts} THEN {value} END AS value
    FROM event WHERE {known(as_of, parameters)}),
placed AS MATERIALIZED (
    SELECT person_id, epoch_us(occurred_at) AS t, won, label, value, {POSITION} AS pos
    FROM touched WHERE won OR label IS NOT NULL),
conversion AS MATERIALIZED (
    SELECT person_id, pos AS conv_pos, t AS conv_t, value FROM placed
    WHERE won AND {during(query.range.start, query.range.end, parameters)}),
ahead AS (
    SELECT *, coalesce(min(pos) FILTER (won) OVER later, 0) AS segment,
        min(t) FILTER (won) OVER later AS conv_t
    FROM placed
    WINDOW later AS (PARTITION BY person_id ORDER BY pos
        ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)),
running AS MATERIALIZED (
    SELECT person_id, segment, t, pos, label, conv_t, conv_t - t <= {back} AS near,
        count(*) FILTER (gap IS NULL OR gap > {back}) OVER inside AS run
    FROM (SELECT *, t - lag(t) OVER (PARTITION BY person_id, segment ORDER BY pos) AS gap
        FROM ahead WHERE NOT won)
    WINDOW inside AS (PARTITION BY person_id, segment ORDER BY pos)),
path AS MATERIALIZED (
    SELECT row_number() OVER () AS path, person_id, segment, run,
        CASE WHEN bool_or(near) THEN 'converted'
            WHEN segment = 0 AND max(t) + {back} >= {now} THEN 'in_progress'
            ELSE 'lost' END AS ended,
        count(*) FILTER (NOT near) AS far
    FROM running GROUP BY person_id, segment, run
    HAVING {during(query.range.start, query.range.end, parameters, at=ends)}),
kept AS MATERIALIZED (
    SELECT p.path, r.person_id, r.label, r.t, r.pos, r.conv_t, c.value, p.ended
    FROM running r JOIN path p USING (person_id, segment, run)
        LEFT JOIN conversion c ON c.person_id = r.person_id AND c.conv_pos = r.segment
    WHERE p.ended <> 'converted' OR r.near),
common AS (
    SELECT label, row_number() OVER (ORDER BY count(*) DESC, label) <= {query.max_labels} AS common
    FROM kept GROUP BY label),
touch AS MATERIALIZED (
    SELECT k.* EXCLUDE (label, pos), if(common, k.label, NULL) AS label,
        row_number() OVER way AS rank,
        count(*) OVER (PARTITION BY path) AS n,
        max(t) OVER (PARTITION BY path) AS last_t,
        max(CASE WHEN k.label NOT IN (SELECT unnest({direct})) THEN pos END)
            OVER (PARTITION BY path) AS told_pos, pos
    FROM kept k JOIN common USING (label)
    WINDOW way AS (PARTITION BY path ORDER BY pos)),
credit AS MATERIALIZED (
    SELECT *, decay / sum(decay) OVER (PARTITION BY path) AS time_decay
    FROM (SELECT *, (rank = 1)::DOUBLE AS "first", (rank = n)::DOUBLE AS "last",
            (CASE WHEN told_pos IS NULL THEN rank = n ELSE pos = told_pos END)::DOUBLE
                AS last_non_direct,
            1.0::DOUBLE / n AS linear, {_positions()},
            new::DOUBLE / sum(new) OVER (PARTITION BY path) AS shapley,
            pow(2::DOUBLE, (t - last_t) / {half})::DECIMAL(38, 18) AS decay
        FROM (SELECT *, (row_number() OVER (
                PARTITION BY path, label ORDER BY pos) = 1)::BIGINT AS new
            FROM touch WHERE ended = 'converted'))),
move AS (
    SELECT source, target, count(*) AS n
    FROM (SELECT coalesce('=' || label, '=') AS source, coalesce(
                lead(coalesce('=' || label, '=')) OVER way, ended) AS target
            FROM touch WHERE ended <> 'in_progress'
            WINDOW way AS (PARTITION BY path ORDER BY pos)
        UNION ALL
        SELECT '{START}', coalesce('=' || label, '=') FROM touch
        WHERE ended <> 'in_progress' AND rank = 1)
    GROUP BY source, target),
player AS MATERIALIZED (SELECT DISTINCT label FROM touch WHERE ended <> 'in_progress'),
coalition AS (
    SELECT members, count(*) FILTER (ended = 'converted') AS won, count(*) AS n
    FROM (SELECT list_sort(list(DISTINCT coalesce('=' || label, '='))) AS members, ended
        FROM touch WHERE ended <> 'in_progress' AND (SELECT count(*) FROM player) <= {MOST_PLAYERS}
        GROUP BY path, ended)
    GROUP BY members)
"""


def _positions() -> str:
    return ", ".join(
        f"""CASE n WHEN 1 THEN 1.0 WHEN 2
                THEN CASE rank WHEN 1 THEN {first / (first + last)!r}
                    ELSE {last / (first + last)!r} END
            ELSE CASE rank WHEN 1 THEN {first!r} WHEN n THEN {last!r}
                ELSE {1 - first - last:.1f} / (n - 2) END END::DOUBLE AS {name}"""
        for name, (first, last) in _POSITIONS.items()
    )
