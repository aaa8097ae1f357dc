# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""The SQL of a comparison: everybody from the same time zero, each in one group."""

from collections.abc import Callable
from datetime import datetime, timedelta

from app.journeys.attributes import label
from app.journeys.compare_request import Align, CompareQuery, Variant
from app.journeys.funnel_request import microseconds_of
from app.journeys.match import Match
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

Bind = Callable[[int], str]


def compared(query: CompareQuery, align: Align, as_of: datetime, parameters: Parameters) -> str:
    """Return a WITH clause whose last relation, `grouped`, has one row per person compared.

    `grouped(person_id, variant, zero_t, y0_t, d0, o0, a0, b0 ...)`: of outcome 0 the time after
    zero (NULL: not yet), whether it was decided before zero, and whether its window is over; of
    amount 0 the sum, and whether its window is over. `variant` is NULL for who fits none.
    """
    bind = _whole(parameters)
    now = bind(microseconds(as_of))
    flags = _flags(query, align, parameters)
    amounts = [
        f"CASE WHEN v{k} THEN {number_at(one.prop, parameters, said='said')} END AS n{k}"
        for k, one in enumerate(query.amounts)
    ]
    entered = during(query.range.start, query.range.end, parameters)
    kept = " OR ".join(f for f in flags if not f.startswith("i"))
    marks = [f for f in flags if f.startswith("i")]
    began = "".join(f", arg_min({mark}, pos) AS {mark}" for mark in marks)
    carried = "".join(f", z.{mark}" for mark in marks)
    later = 0 if align.landmark is None else microseconds_of(align.landmark)
    milestone = (
        f"SELECT person_id, pos, t, t AS entry_t{''.join(f', {m}' for m in marks)} FROM begun"
    )
    if align.milestone is not None:
        milestone = f"""SELECT z.person_id, m.pos, m.t, z.t AS entry_t{carried}
            FROM begun z ASOF JOIN (SELECT person_id, pos, t FROM placed WHERE m) m
                ON m.person_id = z.person_id AND z.pos < m.pos"""
    after = "p.t > z.zero_t" if later else "true"
    exposed = "p.t <= z.zero_t" if later else "true"
    alive = f"z.zero_t <= {now}" if later else "true"
    columns = [
        f"coalesce(bool_or(p.x{k} AND {exposed}), false) AS x{k}"
        for k, one in enumerate(query.variants)
        if one.exposed is not None
    ]
    for k, outcome in enumerate(query.outcomes):
        columns += [
            f"min(p.t) FILTER (p.y{k} AND {after}) - z.zero_t AS y{k}_t",
            f"coalesce(bool_or(p.y{k} AND NOT ({after})), false) AS d{k}",
            f"{_over(outcome.window, now, bind)} AS o{k}",
        ]
    for k, amount in enumerate(query.amounts):
        inside = "true"
        if amount.window is not None:
            inside = f"p.t - z.zero_t <= {bind(microseconds_of(amount.window))}"
        columns += [
            f"coalesce(sum((p.n{k})::DECIMAL(24, 6)) FILTER (p.v{k} AND {after} AND {inside}), 0)"
            f"::DOUBLE AS a{k}",
            f"{_over(amount.window, now, bind)} AS b{k}",
        ]
    gone = "coalesce(bool_or(p.l AND NOT ({after})), false)" if query.lost else "false"
    lost_t = f"min(p.t) FILTER (p.l AND {after}) - z.zero_t" if query.lost else "NULL::BIGINT"
    joins, cases = _cases(query, parameters)
    return f"""WITH flagged AS (
    SELECT person_id, occurred_at, source, source_seq, received_at, event_id,
        {SAID} AS said, {", ".join(f"{condition} AS {name}" for name, condition in flags.items())}
    FROM event WHERE {known(as_of, parameters)}),
placed AS MATERIALIZED (
    SELECT person_id, epoch_us(occurred_at) AS t, {", ".join([*flags, *amounts])},
        {POSITION} AS pos
    FROM flagged WHERE {kept}),
begun AS (
    SELECT person_id, min(pos) AS pos, arg_min(t, pos) AS t{began}
    FROM placed WHERE e AND ({entered}) GROUP BY person_id),
zero AS (
    SELECT *, t + {later} AS zero_t FROM ({milestone})),
seen AS (
    SELECT z.person_id, z.entry_t, z.zero_t{carried}, {gone.format(after=after)} AS gone,
        {lost_t} AS lost_t, {", ".join(columns)}
    FROM zero z LEFT JOIN placed p ON p.person_id = z.person_id AND p.pos > z.pos
    WHERE {alive}
    GROUP BY z.person_id, z.entry_t, z.zero_t{carried}),
grouped AS MATERIALIZED (
    SELECT s.*, {now} - zero_t AS followed, CASE {" ".join(cases)} END AS variant
    FROM seen s {" ".join(joins)}
    WHERE NOT gone)"""


def _whole(parameters: Parameters) -> Bind:
    def bind(value: int) -> str:
        return f"{parameters.bind(value)}::BIGINT"

    return bind


def _flags(query: CompareQuery, align: Align, parameters: Parameters) -> dict[str, str]:
    """What is asked of each event, by the name of its column; `i` asks of the entry alone."""
    matches: dict[str, Match] = {"e": query.entry}
    if align.milestone is not None:
        matches["m"] = align.milestone
    for k, one in enumerate(query.variants):
        if one.exposed is not None:
            matches[f"x{k}"] = one.exposed
        if one.entry is not None:
            matches[f"i{k}"] = one.entry
    matches |= {f"y{k}": one.match for k, one in enumerate(query.outcomes)}
    matches |= {f"v{k}": one.match for k, one in enumerate(query.amounts)}
    flags = {name: sql(match, parameters) for name, match in matches.items()}
    if query.lost:
        flags["l"] = "(" + " OR ".join(sql(match, parameters) for match in query.lost) + ")"
    return flags


def _over(window: timedelta | None, now: str, bind: Bind) -> str:
    if window is None:
        return "true"
    return f"(z.zero_t + {bind(microseconds_of(window))} <= {now})"


def _cases(query: CompareQuery, parameters: Parameters) -> tuple[list[str], list[str]]:
    joins, cases = [], []
    for k, one in enumerate(query.variants):
        if one.segment is not None or one.trait is not None:
            joins.append(_joined(k, one, parameters))
        cases.append(f"WHEN {_fits(k, one, parameters)} THEN {k}")
    return joins, cases


def _joined(k: int, one: Variant, parameters: Parameters) -> str:
    kind, key = ("segment", one.segment) if one.segment is not None else ("trait", one.trait)
    said = label(one.value if one.trait is not None else True)
    return (
        f"LEFT JOIN attribute g{k} ON g{k}.person_id = s.person_id AND g{k}.kind = '{kind}'"
        f" AND g{k}.key = {parameters.bind(key)} AND g{k}.label = {parameters.bind(said)}"
    )


def _fits(k: int, one: Variant, parameters: Parameters) -> str:
    if one.exposed is not None:
        return f"x{k}"
    if one.entry is not None:
        return f"i{k}"
    if one.range is not None:
        return f"({during(one.range.start, one.range.end, parameters, at='entry_t')})"
    return "true" if one.rest else f"g{k}.label IS NOT NULL"
