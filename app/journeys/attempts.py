# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of a funnel's attempts: an ASOF cascade, one join per step for all entries at once.

Chosen by measurement (research/performance.md, part C): on 10 million events the cascade takes
793 ms against 1,191 for a cascade of windows and 2,172 for nested windows. Greedy is enough:
without exclusions the earliest next match leaves the most room, so the depth is the greatest.
"""

from datetime import datetime

from app.journeys.funnel_request import FunnelRequest
from app.journeys.predicate import POSITION, Parameters, known, microseconds, moment, sql


def attempts(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> str:
    """Return a WITH clause whose last relation, `counted`, holds what the funnel counts.

    `counted(person_id, entry_pos, entry_t, depth, status, end_t)`: one row per person, or per
    attempt with `entry=every`; times in microseconds since 1970. Status is converted, dropped,
    in_progress, excluded, or removed (the person is in no step).
    """
    window = request.window_microseconds()
    width = None if window is None else f"{parameters.bind(window)}::BIGINT"
    walk = _any_order(request, width) if request.order == "any" else _in_order(request, width)
    # A window that ends this very instant has not elapsed: its last instant is inside it.
    closes = (
        "false"
        if width is None
        else f"entry_t + {width} < {parameters.bind(microseconds(as_of))}::BIGINT"
    )
    relations = [
        _hits(request, as_of, parameters),
        _entries(request, parameters),
        *walk,
        f"""attempt AS MATERIALIZED (
            SELECT person_id, entry_pos, entry_t, depth, pos AS end_pos, t AS end_t, ended,
                stop_pos,
                CASE WHEN depth = {len(request.steps)} THEN 'converted'
                    WHEN ended IN ('excluded', 'removed') THEN ended
                    WHEN ended = 'broken' OR {closes} THEN 'dropped'
                    ELSE 'in_progress' END AS status
            FROM walked)""",
        *(_every(width) if request.entry == "every" else _best()),
    ]
    # A removal takes the whole person out, so it is spread over all that is left of them.
    relations.append("""counted AS (
        SELECT * REPLACE (
            CASE WHEN bool_or(status = 'removed') OVER (PARTITION BY person_id)
                THEN 'removed' ELSE status END AS status)
        FROM chosen)""")
    return "WITH RECURSIVE " + ",\n".join(relations)


def _hits(request: FunnelRequest, as_of: datetime, parameters: Parameters) -> str:
    """The events that matter, with a flag per step (m1 …) and per exclusion (x1 …).

    Loose and any order never look at other events, so those are left out before the sort; strict
    needs every event, because any of them can interrupt.
    """
    steps = [sql(step.match, parameters) for step in request.steps]
    bars = [sql(exclusion.match, parameters) for exclusion in request.exclusions]
    flags = [f"{condition} AS m{k}" for k, condition in enumerate(steps, start=1)]
    flags += [f"{condition} AS x{k}" for k, condition in enumerate(bars, start=1)]
    names = [*(f"m{k + 1}" for k in range(len(steps))), *(f"x{k + 1}" for k in range(len(bars)))]
    conditions = [known(as_of, parameters)]
    if request.range.start is not None:
        conditions.append(f"occurred_at >= {moment(request.range.start, parameters)}")
    relevant = "true" if request.order == "strict" else " OR ".join(names)
    return f"""flagged AS (
            SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
                {", ".join(flags)}
            FROM event WHERE {" AND ".join(conditions)}),
        hit AS MATERIALIZED (
            SELECT person_id, epoch_us(occurred_at) AS t, {", ".join(names)}, {POSITION} AS pos
            FROM flagged WHERE {relevant})"""


def _entries(request: FunnelRequest, parameters: Parameters) -> str:
    """The events that may start an attempt; the first one only when only that one counts."""
    upto = ""
    if request.range.end is not None:
        upto = f"AND t < {parameters.bind(microseconds(request.range.end))}::BIGINT"
    only = (
        "QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY pos) = 1"
        if request.entry == "first"
        else ""
    )
    return f"entry AS MATERIALIZED (SELECT person_id, pos, t FROM hit WHERE m1 {upto} {only})"


def _within(width: str | None, t: str, entry_t: str = "a.entry_t") -> str:
    """The inclusive window test; without a window everything is within."""
    return "true" if width is None else f"{t} - {entry_t} <= {width}"


def _bars(request: FunnelRequest, step: int) -> str:
    """The events forbidden between step - 1 and step, and whether they remove the person."""
    barring = [
        (f"x{k}", exclusion.effect)
        for k, exclusion in enumerate(request.exclusions, start=1)
        if exclusion.bars(step)
    ]
    anyone = " OR ".join(flag for flag, _ in barring) or "false"
    removing = " OR ".join(flag for flag, effect in barring if effect == "remove") or "false"
    return f"(SELECT person_id, pos, t, ({removing}) AS removes FROM hit WHERE {anyone})"


def _in_order(request: FunnelRequest, width: str | None) -> list[str]:
    """Steps one after the other: one ASOF join per step finds the next event of all attempts.

    A row of a<k> is an attempt after step k: `pos` and `t` are its last event while it goes on or
    has converted, NULL once it has ended; `stop_pos` is the event that ended it, if one did.
    In strict order the next event that counts is the first that fits the step or does not repeat
    the one before; if it does not fit, it interrupts.
    """
    relations = [
        """a1 AS (
        SELECT person_id, pos AS entry_pos, t AS entry_t, 1 AS depth, pos, t,
            NULL::VARCHAR AS ended, NULL::BIGINT AS stop_pos
        FROM entry)"""
    ]
    for k in range(2, len(request.steps) + 1):
        seen = f"m{k} OR NOT m{k - 1}" if request.order == "strict" else f"m{k}"
        relations.append(f"""met{k} AS (
            SELECT a.*, n.pos AS n_pos, n.t AS n_t, x.pos AS x_pos, x.removes,
                n.pos IS NOT NULL AND {_within(width, "n.t")} AS met,
                met AND n.fits AS fits,
                x.pos IS NOT NULL AND {_within(width, "x.t")}
                    AND (NOT met OR x.pos < n.pos OR (x.pos = n.pos AND NOT n.fits)) AS barred
            FROM a{k - 1} a
            ASOF LEFT JOIN (SELECT person_id, pos, t, m{k} AS fits FROM hit WHERE {seen}) n
                ON a.person_id = n.person_id AND a.pos < n.pos
            ASOF LEFT JOIN {_bars(request, k)} x
                ON a.person_id = x.person_id AND a.pos < x.pos)""")
        relations.append(f"""a{k} AS (
            SELECT person_id, entry_pos, entry_t,
                CASE WHEN fits AND NOT barred THEN {k} ELSE depth END AS depth,
                CASE WHEN fits AND NOT barred THEN n_pos END AS pos,
                CASE WHEN fits AND NOT barred THEN n_t END AS t,
                CASE WHEN pos IS NULL THEN ended
                    WHEN barred THEN if(removes, 'removed', 'excluded')
                    WHEN fits THEN NULL
                    WHEN met THEN 'broken'
                    ELSE 'missed' END AS ended,
                CASE WHEN pos IS NULL THEN stop_pos
                    WHEN barred THEN x_pos
                    WHEN met AND NOT fits THEN n_pos END AS stop_pos
            FROM met{k})""")
    relations.append(f"walked AS (SELECT * FROM a{len(request.steps)})")
    return relations


def _any_order(request: FunnelRequest, width: str | None) -> list[str]:
    """Step 1 first, the others in any order, each with an event of its own.

    Steps are served in written order and take their earliest free event. Each candidate carries
    the ones after it (at most k - 2 can be taken when step k chooses), so that one ASOF join per
    step is enough whatever overlaps.
    """
    size = len(request.steps)
    relations = [
        f"""a1 AS (
        SELECT a.person_id, a.pos AS entry_pos, a.t AS entry_t, []::BIGINT[] AS taken,
            a.t AS last_t, x.removes,
            CASE WHEN {_within(width, "x.t", "a.t")} THEN x.pos END AS x_pos
        FROM entry a
        ASOF LEFT JOIN {_bars(request, size)} x
            ON a.person_id = x.person_id AND a.pos < x.pos)"""
    ]
    for k in range(2, size + 1):
        relations.append(f"""c{k} AS (
            SELECT person_id, pos, list({{'pos': pos, 't': t}}) OVER (
                PARTITION BY person_id ORDER BY pos
                ROWS BETWEEN CURRENT ROW AND {k - 2} FOLLOWING) AS candidates
            FROM hit WHERE m{k})""")
        relations.append(f"""met{k} AS (
            SELECT a.*, list_filter(c.candidates,
                lambda item: NOT list_contains(a.taken, item.pos))[1] AS pick
            FROM a{k - 1} a ASOF LEFT JOIN c{k} c
                ON a.person_id = c.person_id AND a.entry_pos < c.pos)""")
        relations.append(f"""a{k} AS (
            SELECT person_id, entry_pos, entry_t,
                if(fits, list_append(taken, pick.pos), taken) AS taken,
                if(fits, greatest(last_t, pick.t), last_t) AS last_t, removes, x_pos
            FROM (SELECT *, pick IS NOT NULL AND {_within(width, "pick.t")}
                    AND (x_pos IS NULL OR pick.pos < x_pos) AS fits FROM met{k} a))""")
    relations.append(f"""walked AS (
        SELECT person_id, entry_pos, entry_t, 1 + len(taken) AS depth,
            coalesce(list_max(taken), entry_pos) AS pos, last_t AS t, x_pos AS stop_pos,
            CASE WHEN len(taken) = {size - 1} THEN NULL
                WHEN x_pos IS NULL THEN 'missed'
                ELSE if(removes, 'removed', 'excluded') END AS ended
        FROM a{size})""")
    return relations


def _best() -> list[str]:
    """The deepest attempt of a person, then the earliest.

    A person is in progress while any attempt is: the deepest may be over and a shallower one
    still convert. Counting only the deepest would let in_progress grow as as_of moves on.
    """
    return [
        """chosen AS (
        SELECT person_id, entry_pos, entry_t, depth, end_t,
            CASE WHEN bool_or(status = 'removed') OVER person THEN 'removed'
                WHEN status = 'converted' THEN status
                WHEN bool_or(status = 'in_progress') OVER person THEN 'in_progress'
                ELSE status END AS status
        FROM attempt
        WINDOW person AS (PARTITION BY person_id)
        QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY depth DESC, entry_pos) = 1)"""
    ]


def _every(width: str | None) -> list[str]:
    """Attempts that do not overlap: each next one starts after the last has ended.

    After a conversion the next entry is a later event; the event that interrupted or excluded an
    attempt took no step, so it may itself be an entry; a missed attempt ends with its window, and
    without a window never.
    """
    # Entries of one instant are one candidate, the first of them: an ASOF join on time would
    # otherwise pick any. Joining on «later than» without ASOF is quadratic in a person's entries.
    expiry = "NULL::BIGINT" if width is None else f"entry_t + {width}"
    return [
        """resumed AS (
            SELECT a.person_id, a.entry_pos, e.pos AS next_pos
            FROM (SELECT person_id, entry_pos,
                    CASE WHEN status = 'converted' THEN end_pos ELSE stop_pos - 1 END AS after_pos
                FROM attempt) a
            ASOF JOIN entry e ON a.person_id = e.person_id AND a.after_pos < e.pos)""",
        f"""expired AS (
            SELECT a.person_id, a.entry_pos, e.pos AS next_pos
            FROM (SELECT person_id, entry_pos, {expiry} AS last_t
                FROM attempt WHERE ended = 'missed') a
            ASOF JOIN (SELECT person_id, t, min(pos) AS pos FROM entry GROUP BY ALL) e
                ON a.person_id = e.person_id AND a.last_t < e.t)""",
        """jump AS MATERIALIZED (SELECT * FROM resumed UNION ALL SELECT * FROM expired)""",
        """taken AS (
            SELECT person_id, min(entry_pos) AS entry_pos FROM attempt GROUP BY person_id
            UNION ALL
            SELECT jump.person_id, jump.next_pos FROM taken
            JOIN jump ON jump.person_id = taken.person_id AND jump.entry_pos = taken.entry_pos)""",
        """chosen AS (
            SELECT person_id, entry_pos, entry_t, depth, end_t, status
            FROM attempt SEMI JOIN taken USING (person_id, entry_pos))""",
    ]
