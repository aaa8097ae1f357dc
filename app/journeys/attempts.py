# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of a funnel's attempts: which events matter, how far each attempt came, which count.

`app.journeys.cascade` follows the attempts from step to step; greedy is enough there: without
exclusions the earliest next match leaves the most room, so the depth is the greatest.
"""

from datetime import datetime

import duckdb

from app.journeys.cascade import Walk, any_order, in_order
from app.journeys.funnel_request import FunnelRequest, microseconds_of
from app.journeys.open_time import opened
from app.journeys.plain_walk import bring, plain
from app.journeys.predicate import (
    OF_TRAITS,
    POSITION,
    SAID,
    Parameters,
    json_pointer,
    known,
    microseconds,
    moment,
    sql,
)


def attempts(
    connection: duckdb.DuckDBPyConnection,
    request: FunnelRequest,
    as_of: datetime,
    parameters: Parameters,
) -> str:
    """Return a WITH clause whose last relation, `counted`, holds what the funnel counts.

    It is for this connection, on which attempts may have been registered, and for it alone.

    `counted(person_id, entry_pos, entry_t, depth, took, status, end_t, ended, stop_t, deadline,
    label, spent)`: one row per person, per session with `count=sessions`, or per attempt with
    `entry=every`; times in microseconds since 1970. Bit k of `took` says that optional step k + 1
    was taken. Status is converted, dropped, in_progress, excluded, or removed (the person is in no
    step). `label` is the value of the breakdown, NULL without one;
    `spent` is how long it took, in open time where the request has opening hours.
    """
    relations = [
        *(
            _found(connection, request, as_of)
            if plain(request)
            else _followed(request, as_of, parameters)
        ),
        *_labels(request, as_of, parameters),
    ]
    source, spent = "labelled", "end_t - entry_t"
    if request.opening_hours is not None:
        relations.append("spans AS (SELECT *, entry_t AS began, end_t AS done FROM labelled)")
        columns = ("began", "done")
        relations.append(
            opened(
                request.opening_hours,
                as_of,
                parameters,
                relation="spans",
                columns=columns,
                name="clocked",
            )
        )
        source, spent = "clocked", "done - began"
    # A removal takes the whole person out, so it is spread over all that is left of them.
    spread = ""
    if _removes(request):
        spread = """REPLACE (CASE WHEN bool_or(status = 'removed') OVER (PARTITION BY person_id)
            THEN 'removed' ELSE status END AS status)"""
    relations.append(f"counted AS (SELECT * {spread}, {spent} AS spent FROM {source})")
    return "WITH RECURSIVE " + ",\n".join(relations)


def _found(
    connection: duckdb.DuckDBPyConnection, request: FunnelRequest, as_of: datetime
) -> list[str]:
    """The attempts that count, of a plain funnel, whose attempts are followed over arrays."""
    bring(connection, request, as_of)
    if request.entry != "every":
        return ["chosen AS (FROM walked)"]
    return [
        "attempt AS (FROM walked)",
        "entry AS (SELECT person_id, entry_pos AS pos, entry_t AS t FROM attempt)",
        *_every(Walk(request, width=None, gaps={}, grace=None, lane=False, label_step=0)),
    ]


def _followed(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> list[str]:
    """The attempts that count, of any funnel."""
    walk = _walk(request, parameters)
    follow = any_order if request.order == "any" else in_order
    now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
    return [
        *_hits(request, as_of, parameters),
        _entries(request, parameters, walk),
        *follow(walk),
        # A window that ends this very instant has not elapsed: its last instant is inside it.
        f"""attempt AS MATERIALIZED (
            SELECT *, CASE WHEN depth = {len(request.steps)} THEN 'converted'
                    WHEN ended IN ('excluded', 'removed') THEN ended
                    WHEN ended IN ('broken', 'lost') OR coalesce(deadline < {now}, false)
                        THEN 'dropped'
                    ELSE 'in_progress' END AS status
            FROM walked)""",
        *(_every(walk) if request.entry == "every" else _best(request)),
    ]


def _walk(request: FunnelRequest, parameters: Parameters) -> Walk:
    def bound(length: int | None) -> str | None:
        return None if length is None else f"{parameters.bind(length)}::BIGINT"

    gaps = {
        k: bound(microseconds_of(step.max_gap))
        for k, step in enumerate(request.steps, start=1)
        if step.max_gap is not None
    }
    several = len(request.steps) > 1
    return Walk(
        request=request,
        # Of a single step nothing is asked after the entry, and DuckDB refuses an unused parameter.
        width=bound(request.window_microseconds() if several else None),
        gaps={k: gap for k, gap in gaps.items() if gap is not None},
        grace=bound(microseconds_of(request.grace)) if request.grace and several else None,
        lane=bool(request.hold_constant) or request.scope == "session",
        label_step=request.breakdown.step if request.breakdown and _by_step(request) else 0,
    )


def _hits(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> list[str]:
    """The events that matter, with a flag per step (m1 …), per exclusion (x1 …) and for lost ones.

    Loose and any order never look at other events, so those are left out before the sort; strict
    needs every event, because any of them can interrupt, and so do sessions. `lane` tells apart
    what an attempt may not mix: sessions, and values of the properties held constant.
    """
    steps = [sql(step.match, parameters) for step in request.steps]
    bars = [sql(exclusion.match, parameters) for exclusion in request.exclusions]
    flags = [f"{condition} AS m{k}" for k, condition in enumerate(steps, start=1)]
    flags += [f"{condition} AS x{k}" for k, condition in enumerate(bars, start=1)]
    names = [*(f"m{k + 1}" for k in range(len(steps))), *(f"x{k + 1}" for k in range(len(bars)))]
    if request.lost:
        ends = " OR ".join(sql(match, parameters) for match in request.lost)
        flags.append(f"({ends}) AS l")
        names.append("l")
    lanes, kept = [], []
    if request.hold_constant:
        flags.append(f"{_held(request, parameters)} AS held")
        lanes.append("held")
        kept.append("held")
    session = request.scope == "session"
    if session:
        lanes.append("session::VARCHAR")
    relevant = "true" if request.order == "strict" or session else " OR ".join(names)
    if _by_step(request):
        flags.append(f"{_value(request, parameters)} AS value")
        kept.append("value")
    columns = ", ".join(["person_id", "epoch_us(occurred_at) AS t", *names, *kept])
    relations = [
        f"""flagged AS (
            SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
                {", ".join(flags)}
            FROM event WHERE {_looked_at(request, as_of, parameters)})""",
        f"placed AS (SELECT {columns}, {POSITION} AS pos FROM flagged WHERE {relevant})",
    ]
    if session:
        gap = f"{parameters.bind(microseconds_of(request.session_gap))}::BIGINT"
        relations.append(f"""sessions AS (
            SELECT *, count(*) FILTER (starts) OVER (PARTITION BY person_id ORDER BY pos) AS session
            FROM (SELECT *, coalesce(t - lag(t) OVER (PARTITION BY person_id ORDER BY pos) > {gap},
                true) AS starts FROM placed))""")
    lane = f", concat_ws('|', {', '.join(lanes)}) AS lane" if lanes else ""
    inside = "WHERE held IS NOT NULL" if request.hold_constant else ""
    source = "sessions" if session else "placed"
    relations.append(f"hit AS MATERIALIZED (SELECT *{lane} FROM {source} {inside})")
    return relations


def _looked_at(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> str:
    conditions = [known(as_of, parameters)]
    if request.range.start is not None:
        conditions.append(f"occurred_at >= {moment(request.range.start, parameters)}")
    if request.universe is not None:
        conditions.append(sql(request.universe, parameters))
    return " AND ".join(conditions)


def _held(request: FunnelRequest, parameters: Parameters) -> str:
    """The JSON text of all held properties, NULL where one is missing or null."""
    found = [
        f"json_extract({SAID}, {parameters.bind(json_pointer(path))})"
        for path in request.hold_constant
    ]
    there = " AND ".join(f"coalesce(json_type({one}) <> 'NULL', false)" for one in found)
    return f"CASE WHEN {there} THEN concat_ws(',', {', '.join(found)}) END"


def _value(request: FunnelRequest, parameters: Parameters) -> str:
    """The value of the breakdown's property as JSON text; NULL where it is missing, or a trait."""
    path = (request.breakdown.prop if request.breakdown else None) or ""
    found = f"json_extract(properties, {parameters.bind(json_pointer(path))})"
    there = f"NOT {OF_TRAITS} AND coalesce(json_type({found}) <> 'NULL', false)"
    return f"CASE WHEN {there} THEN {found}::VARCHAR END"


def _by_step(request: FunnelRequest) -> bool:
    row = request.breakdown
    return row is not None and row.prop is not None and row.value == "step"


def _labels(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> list[str]:
    row = request.breakdown
    if row is None:
        return ["labelled AS (SELECT *, NULL::VARCHAR AS label FROM chosen)"]
    if row.prop is None:
        kind, missing = ("trait", "NULL") if row.trait is not None else ("segment", "'false'")
        key = parameters.bind(row.trait if row.trait is not None else row.segment)
        return [
            f"""labelled AS (
            SELECT c.*, coalesce(a.label, {missing}) AS label FROM chosen c
            LEFT JOIN attribute a ON a.person_id = c.person_id AND a.kind = '{kind}'
                AND a.key = {key})"""
        ]
    if row.value == "step":
        return [
            """labelled AS (SELECT c.*, h.value AS label FROM chosen c
            LEFT JOIN hit h ON h.person_id = c.person_id AND h.pos = c.label_pos)"""
        ]
    side = "arg_min" if row.value == "first" else "arg_max"
    return [
        f"""valued AS (
            SELECT person_id, {side}(value, pos) AS label
            FROM (SELECT person_id, value, {POSITION} AS pos
                FROM (SELECT *, {_value(request, parameters)} AS value FROM event
                    WHERE {_looked_at(request, as_of, parameters)})
                WHERE value IS NOT NULL)
            GROUP BY person_id)""",
        "labelled AS (SELECT c.*, v.label FROM chosen c LEFT JOIN valued v USING (person_id))",
    ]


def _entries(request: FunnelRequest, parameters: Parameters, walk: Walk) -> str:
    """The events that may start an attempt; the first one only when only that one counts."""
    upto = ""
    if request.range.end is not None:
        upto = f"AND t < {parameters.bind(microseconds(request.range.end))}::BIGINT"
    only = (
        f"QUALIFY row_number() OVER (PARTITION BY {_unit(request)} ORDER BY pos) = 1"
        if request.entry == "first"
        else ""
    )
    starts = "m1" if request.anchor else " OR ".join(f"m{k + 1}" for k in range(len(request.steps)))
    return f"""entry AS MATERIALIZED (
        SELECT {walk.keys}, pos, t, {walk.served} AS served FROM hit
        WHERE ({starts}) {upto} {only})"""


def _unit(request: FunnelRequest) -> str:
    """What is counted once: a person, or one of their sessions."""
    return "person_id, lane" if request.count == "sessions" else "person_id"


def _best(request: FunnelRequest) -> list[str]:
    """The deepest attempt of a person, then the earliest (or the shortest that converted).

    A person is in progress while any attempt is: the deepest may be over and a shallower one
    still convert. Counting only the deepest would let in_progress grow as as_of moves on.
    """
    shortest = (
        "CASE WHEN status = 'converted' THEN end_t - entry_t END,"
        if request.ttc_from == "shortest"
        else ""
    )
    removed = "WHEN bool_or(status = 'removed') OVER person THEN 'removed'"
    return [
        f"""chosen AS (
        SELECT * REPLACE (CASE {removed if _removes(request) else ""}
                WHEN status = 'converted' THEN status
                WHEN bool_or(status = 'in_progress') OVER person THEN 'in_progress'
                ELSE status END AS status)
        FROM attempt
        WINDOW person AS (PARTITION BY {_unit(request)})
        QUALIFY row_number() OVER (
            PARTITION BY {_unit(request)} ORDER BY depth DESC, {shortest} entry_pos) = 1)"""
    ]


def _removes(request: FunnelRequest) -> bool:
    """Say whether an exclusion may take people out; else two windows over all are saved."""
    return any(one.effect == "remove" for one in request.exclusions)


def _every(walk: Walk) -> list[str]:
    """Attempts that do not overlap: each next one starts after the last has ended.

    After a conversion the next entry is a later event; the event that interrupted or excluded an
    attempt took no step, so it may itself be an entry; a missed attempt ends with its window, and
    without a window never. Lanes do not overlap with each other.
    """
    # Entries of one instant are one candidate, the first of them: an ASOF join on time would
    # otherwise pick any. Joining on «later than» without ASOF is quadratic in a person's entries.
    keys, same = walk.keys, walk.same("a", "e")
    return [
        f"""resumed AS (
            SELECT a.*, e.pos AS next_pos
            FROM (SELECT {keys}, entry_pos,
                    CASE WHEN status = 'converted' THEN end_pos ELSE stop_pos - 1 END AS after_pos
                FROM attempt) a
            ASOF JOIN entry e ON {same} AND a.after_pos < e.pos)""",
        f"""expired AS (
            SELECT a.*, e.pos AS next_pos
            FROM (SELECT {keys}, entry_pos, deadline FROM attempt WHERE ended = 'missed') a
            ASOF JOIN (SELECT {keys}, t, min(pos) AS pos FROM entry GROUP BY ALL) e
                ON {same} AND a.deadline < e.t)""",
        f"""jump AS MATERIALIZED (
            SELECT {keys}, entry_pos, next_pos FROM resumed
            UNION ALL SELECT {keys}, entry_pos, next_pos FROM expired)""",
        f"""taken AS (
            SELECT {keys}, min(entry_pos) AS entry_pos FROM attempt GROUP BY {keys}
            UNION ALL
            SELECT {walk.keys_of("e")}, e.next_pos FROM taken a
            JOIN jump e ON {same} AND e.entry_pos = a.entry_pos)""",
        "chosen AS (SELECT * FROM attempt SEMI JOIN taken USING (person_id, entry_pos))",
    ]
