# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of paths: events with their labels, in runs, from anchor to anchor, one row a step."""

from datetime import datetime

from app.journeys.definition import Journey, Touchpoint
from app.journeys.funnel_request import microseconds_of
from app.journeys.paths_request import CUT, Anchor, PathsRequest, Property
from app.journeys.predicate import (
    OF_TRAITS,
    POSITION,
    Parameters,
    json_pointer,
    known,
    microseconds,
    moment,
    sql,
)


def routes(request: PathsRequest, as_of: datetime, parameters: Parameters) -> str:
    """Return a WITH clause that ends in `path`, `move` and `ranked`.

    `path(path, person_id, route, last_step, duration, ended, earlier)`: one row per path.
    `move(path, person_id, step, label, node, next_step, next_label, next_node, pause, first,
    ended)`: one row per step of a path, with the step after it; `label` is NULL beyond `top_n`,
    `node` beyond `max_nodes`. `ranked`: one row per route, with its place.
    """
    return "WITH " + ",\n".join(
        [
            *_labelled(request, as_of, parameters),
            *_spans(request, as_of, parameters),
            *_shown(request),
        ]
    )


def label_of(request: PathsRequest, parameters: Parameters) -> str:
    """Return the expression of an event's label, NULL where a part of it is missing."""
    parts = [_part(part, request.journey, parameters) for part in request.label]
    text = parts[0] if len(parts) == 1 else " || ' · ' || ".join(parts)
    for rule in request.replace:
        pattern, by = parameters.bind(rule.pattern), parameters.bind(rule.by)
        text = f"regexp_replace({text}, {pattern}, {by})"
    return text


def _part(part: str | Property, journey: Journey | None, parameters: Parameters) -> str:
    if isinstance(part, Property):
        found = f"json_extract_string(properties, {parameters.bind(json_pointer(part.prop))})"
        return f"CASE WHEN NOT {OF_TRAITS} THEN {found} END"
    if part == "event" or journey is None:
        return "name"
    branches = " ".join(
        f"WHEN {sql(point.match, parameters)} THEN {parameters.bind(mapped(part, point))}"
        for point in journey.touchpoints
    )
    return f"CASE {branches} END"


def mapped(part: str, point: Touchpoint) -> str:
    """Return what a touchpoint is called as a touchpoint, stage, channel, or both of these."""
    return {
        "touchpoint": point.id,
        "stage": point.stage,
        "channel": point.channel,
        "stage_channel": f"{point.stage} × {point.channel}",
    }[part]


def _labelled(request: PathsRequest, as_of: datetime, parameters: Parameters) -> list[str]:
    """The events in their order, in sessions, and neighbours of one label as one."""
    conditions = [known(as_of, parameters)]
    if request.universe is not None:
        conditions.append(sql(request.universe, parameters))
    if request.start is None and request.end is None:  # no anchor: the range is that of events
        conditions += _in_range(request, "occurred_at", parameters)
    starts = sql(request.start.match, parameters) if request.start else "false"
    ends = sql(request.end.match, parameters) if request.end else "false"
    relations = [
        f"""touched AS MATERIALIZED (
            SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
                {label_of(request, parameters)} AS label, {starts} AS starts, {ends} AS ends
            FROM event WHERE {" AND ".join(conditions)})""",
        f"""placed AS (
            SELECT person_id, epoch_us(occurred_at) AS t, label, starts, ends, {POSITION} AS pos
            FROM touched WHERE label IS NOT NULL)""",
    ]
    # Each window over all events costs a sort of them: none is written that was not asked for.
    if request.session_gap is None:
        relations.append("sessioned AS (SELECT *, 0 AS session FROM placed)")
    else:
        gap = f"{parameters.bind(microseconds_of(request.session_gap))}::BIGINT"
        relations.append(f"""sessioned AS (
            SELECT *, count(*) FILTER (coalesce(pause > {gap}, true))
                OVER (PARTITION BY person_id ORDER BY pos) AS session
            FROM (SELECT *, t - lag(t) OVER (PARTITION BY person_id ORDER BY pos) AS pause
                FROM placed))""")
    unit = "person_id" if request.session_gap is None else "person_id, session"
    if request.collapse:
        relations.append(f"""runs AS (
            SELECT person_id, session, run, min(pos) AS pos, any_value(label) AS label,
                min(t) AS t, max(t) AS last_t, bool_or(starts) AS starts, bool_or(ends) AS ends
            FROM (SELECT *, count(*) FILTER (NOT same) OVER unit AS run
                FROM (SELECT *, lag(label) OVER unit IS NOT DISTINCT FROM label AS same
                    FROM sessioned WINDOW unit AS (PARTITION BY {unit} ORDER BY pos))
                WINDOW unit AS (PARTITION BY {unit} ORDER BY pos))
            GROUP BY person_id, session, run)""")
    else:
        relations.append("runs AS (SELECT *, t AS last_t, pos AS run FROM sessioned)")
    within = request.collapse or request.session_gap is None
    idx = "run" if within else f"row_number() OVER (PARTITION BY {unit} ORDER BY pos)"
    relations.append(f"""seq AS MATERIALIZED (
            SELECT *, max(idx) OVER (PARTITION BY {unit}) AS size
            FROM (SELECT person_id, session, {idx} AS idx, label, t, last_t, starts, ends
                FROM runs))""")
    return relations


def _in_range(request: PathsRequest, column: str, parameters: Parameters) -> list[str]:
    conditions = []
    if request.range.start is not None:
        conditions.append(f"{column} >= {moment(request.range.start, parameters)}")
    if request.range.end is not None:
        conditions.append(f"{column} < {moment(request.range.end, parameters)}")
    return conditions


def _spans(request: PathsRequest, as_of: datetime, parameters: Parameters) -> list[str]:
    """From which to which step each path goes, and whether there was more."""
    anchor = request.start or request.end
    flag = "starts" if request.start else "ends"
    conditions = ["idx = 1"] if anchor is None else [flag]
    if anchor is not None:
        conditions += _in_range(request, "make_timestamptz(t)", parameters)
    width = (
        None
        if request.window is None
        else f"{parameters.bind(microseconds_of(request.window))}::BIGINT"
    )
    within = "true" if width is None else f"abs(s.t - a.t) <= {width}"
    return [
        f"""anchor AS MATERIALIZED (
            SELECT *, row_number() OVER (ORDER BY person_id, session, idx) AS path
            FROM (SELECT person_id, session, idx, t, size FROM seq
                WHERE {" AND ".join(conditions)} {_only(anchor)}))""",
        *(
            _between(request, parameters, width)
            if request.start and request.end
            else [_open(request, within)]
        ),
        f"""path AS MATERIALIZED (
            SELECT path, any_value(person_id) AS person_id, list(label ORDER BY step) AS route,
                max(step) AS last_step, max(t) - min(t) AS duration,
                {_ended(request, as_of, parameters, width)} AS ended,
                min(idx) > 1 AS earlier
            FROM hop GROUP BY path)""",
    ]


def _only(anchor: Anchor | None) -> str:
    if anchor is None or anchor.occurrence == "every":
        return ""
    order = "DESC" if anchor.occurrence == "last" else "ASC"
    return f"QUALIFY row_number() OVER (PARTITION BY person_id, session ORDER BY idx {order}) = 1"


def _open(request: PathsRequest, within: str) -> str:
    """The steps after a start (or before an end), as far as depth and window go."""
    deep = request.max_depth
    reach = ""
    if deep is not None:
        reach = f"AND s.idx <= a.idx + {deep}" if request.start or not request.end else ""
        reach = reach or f"AND s.idx >= a.idx - {deep}"
    side = "s.idx <= a.idx" if request.end else "s.idx >= a.idx"
    return f"""hop AS MATERIALIZED (
        SELECT a.path, a.person_id, s.idx - a.idx AS step, s.label, s.t, s.last_t, s.idx, a.size,
            a.t AS anchor_t
        FROM anchor a JOIN seq s ON s.person_id = a.person_id AND s.session = a.session
            AND {side} {reach} AND {within})"""


def _between(request: PathsRequest, parameters: Parameters, width: str | None) -> list[str]:
    """From each start to the first end after it; what is too long loses its middle."""
    inside = "true" if width is None else f"e.t - a.t <= {width}"
    deep = request.max_depth
    step, kept, label = "s.idx - a.idx", "true", "s.label"
    if deep is not None:
        head, tail = deep // 2, deep - deep // 2
        long = f"a.to_idx - a.idx > {deep}"
        step = f"CASE WHEN {long} AND s.idx - a.idx > {head} THEN {deep} - (a.to_idx - s.idx)"
        step += " ELSE s.idx - a.idx END"
        kept = f"(NOT {long} OR s.idx - a.idx <= {head} OR a.to_idx - s.idx < {tail})"
        cut = parameters.bind(CUT)
        label = f"CASE WHEN {long} AND s.idx - a.idx = {head} THEN {cut} ELSE s.label END"
    return [
        f"""arrival AS (
            SELECT a.*, e.idx AS to_idx
            FROM anchor a ASOF JOIN (SELECT person_id, session, idx, t FROM seq WHERE ends) e
                ON a.person_id = e.person_id AND a.session = e.session AND a.idx < e.idx
            WHERE {inside})""",
        f"""hop AS MATERIALIZED (
            SELECT a.path, a.person_id, {step} AS step, {label} AS label, s.t, s.last_t, s.idx,
                a.size, a.t AS anchor_t
            FROM arrival a JOIN seq s ON s.person_id = a.person_id AND s.session = a.session
                AND s.idx BETWEEN a.idx AND a.to_idx
            WHERE {kept})""",
    ]


def _ended(
    request: PathsRequest, as_of: datetime, parameters: Parameters, width: str | None
) -> str:
    """How a path ended: arrived at its end, or continues beyond the depth, or stopped, or may go
    on still."""
    if request.end:
        return "'arrived'"
    closings = [f"any_value(anchor_t) + {width}"] if width else []
    for pause in (request.session_gap, request.inactivity):
        if pause is not None:
            closings.append(f"max(last_t) + {parameters.bind(microseconds_of(pause))}::BIGINT")
    over = ["max(idx) < max(size)"] if width else []  # what follows lies beyond the window
    if closings:
        now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
        over += [f"{closing} < {now}" for closing in closings]
    ended = " OR ".join(over) or "false"
    beyond = (
        "false"
        if request.max_depth is None
        else (f"max(step) = {request.max_depth} AND max(idx) < max(size)")
    )
    return f"""CASE WHEN {beyond} THEN 'continues' WHEN {ended} THEN 'drop'
                    ELSE 'in_progress' END"""


def _shown(request: PathsRequest) -> list[str]:
    return [
        """popular AS (
            SELECT step, label, row_number() OVER (
                PARTITION BY step ORDER BY count(*) DESC, label) AS place
            FROM hop GROUP BY step, label)""",
        f"""common AS (
            SELECT label, row_number() OVER (ORDER BY count(*) DESC, label)
                <= {request.max_nodes} AS common
            FROM hop GROUP BY label)""",
        f"""shown AS MATERIALIZED (
            SELECT h.path, h.person_id, h.step,
                if(p.place <= {request.top_n}, h.label, NULL) AS label,
                if(c.common, h.label, NULL) AS node, h.t, h.last_t,
                if(h.step = path.last_step, path.ended, NULL) AS ended
            FROM hop h JOIN popular p ON p.step = h.step AND p.label = h.label
                JOIN common c ON c.label = h.label JOIN path ON path.path = h.path)""",
        """move AS MATERIALIZED (
            SELECT path, person_id, step, label, node, lead(step) OVER steps AS next_step,
                lead(label) OVER steps AS next_label, lead(node) OVER steps AS next_node,
                lead(t) OVER steps - last_t AS pause, lag(step) OVER steps IS NULL AS first, ended
            FROM shown WINDOW steps AS (PARTITION BY path ORDER BY step))""",
        """ranked AS MATERIALIZED (
            SELECT *, row_number() OVER (ORDER BY n DESC, route) AS place,
                n / sum(n) OVER () AS share
            FROM (SELECT route, count(*) AS n, count(DISTINCT person_id) AS profiles,
                    count(*) FILTER (ended = 'drop') AS "drop",
                    count(*) FILTER (ended = 'in_progress') AS in_progress,
                    count(*) FILTER (ended = 'continues') AS "continues",
                    count(*) FILTER (ended = 'arrived') AS arrived,
                    round(quantile_cont(duration, 0.5)) AS p50
                FROM path GROUP BY route))""",
    ]
