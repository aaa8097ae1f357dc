"""Writes a computed trait as one statement over the events of people, under consent."""
# ruff: noqa: S608 - only SQL of our own becomes text; what a definition says is bound

import json
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

import consent
from app.consents.permission import decision, parameters, unit
from app.db import statement
from app.profiles import paths
from app.profiles.computed import DEFAULT_LENGTH, NUMERIC, Definition, stored
from app.profiles.conditions_sql import Ago, Values

#: Of the values that one event has at a path the last comes first, too.
_LAST_FIRST = "at DESC, place DESC, received_at DESC, id DESC, nth DESC"
_FIRST_FIRST = "at, place, received_at, id, nth"
_NUMBER = "CASE json_typeof(value) WHEN 'number' THEN CAST(value #>> '{}' AS numeric) END"
#: Of numbers that a double holds a program reads what is made of them too (RFC 8259 section 6).
_BEYOND = "1e308"
_DAYS = "floor(extract(epoch FROM CAST(:now AS timestamptz) - max(at)) / 86400)"
_TURNS = f"max(at) + make_interval(secs => CAST(({_DAYS} + 1) * 86400 AS double precision))"


def _told(number: str) -> str:
    """Return a number as JSON; null where it is too large for one."""
    return f"CASE WHEN abs({number}) < {_BEYOND} THEN to_json({number}) ELSE 'null' END"


#: What is made of the events of one person.
_MADE = {
    "count": "to_json(count(*))",
    "sum": _told(f"sum({_NUMBER})"),
    "min": f"to_json(min({_NUMBER}))",
    "max": f"to_json(max({_NUMBER}))",
    "average": _told(f"trim_scale(avg({_NUMBER}))"),
    "first": f"(array_agg(value ORDER BY {_FIRST_FIRST}))[1]",
    "last": f"(array_agg(value ORDER BY {_LAST_FIRST}))[1]",
    "last_list": f"to_json((array_agg(value ORDER BY {_LAST_FIRST}))[1:CAST(:length AS int)])",
    "most_frequent": f"(array_agg(value ORDER BY often DESC, {_LAST_FIRST}))[1]",
    "unique_list": f"to_json((array_agg(value ORDER BY {_LAST_FIRST}))[1:CAST(:length AS int)])",
    "days_since": f"to_json({_DAYS})",
    "rfm": f"json_build_object('recency_days', {_DAYS}, 'frequency', count(*),"
    f" 'monetary', {_told(f'coalesce(sum({_NUMBER}), 0)')})",
}
#: What people are scored by, the smaller the better.
PARTS = {
    "recency": _DAYS,
    "frequency": "-count(*)",
    "monetary": f"-coalesce(sum({_NUMBER}), 0)",
}
#: One more than fifths of the people are worse (`app.profiles.scores`); equals score the same.
_SCORES = {
    part: f"(1 + cardinality(CAST(:{part} AS numeric[]))"
    f" - width_bucket(CAST({made} AS numeric), CAST(:{part} AS numeric[])))"
    for part, made in PARTS.items()
}
_SCORED = {part: f"to_json({score})" for part, score in _SCORES.items()} | {
    "cell": f"to_json(concat({', '.join(_SCORES.values())}))"
}
#: These look at each different value once.
_BY_VALUE = frozenset({"most_frequent", "unique_list"})
_BY_TIME = frozenset({"days_since", "rfm", "rfm_score"})
#: These look at each event once, and sum what it has at a path.
_BY_EVENT = frozenset({"rfm", "rfm_score"})


def query(
    definition: Mapping[str, Any],
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int],
    bounds: Mapping[str, list[str]] | None = None,
    keep: bool = False,
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Return the statement that yields subject_id, value, events, basis and due_at, and its values.

    With `keep` the one that writes them, for which :trait, :asked and :at are still to be bound.
    Consent is inside: only events of identifiers that may be used for the purpose now enter, none
    that was stamped against it; `basis` are these identifiers. Of a purpose that demands
    deterministic links a subject is an asserted group. Whoever has no such event is not in it.
    `bounds` are those of a trait that scores.
    """
    text, values = _written(json.dumps(definition, sort_keys=True), unit(purpose), keep)
    values = {"now": now, **parameters(purpose, people), **_moments(values, now)}
    return text, values | {part: (bounds or {}).get(part, []) for part in PARTS}


def events(
    definition: Mapping[str, Any],
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int] | None,
) -> tuple[str, dict[str, Any]]:
    """Return what a statement begins with whose `found` are the events that count, and values."""
    wanted = stored(definition)
    values = Values()
    head = _head(wanted, values, unit(purpose), decision(people).text)
    bound = _moments(_bound(wanted, values), now)
    return head, {"now": now, **parameters(purpose, people), **bound}


@lru_cache(maxsize=1_000)
def _written(definition: str, subject: str, keep: bool) -> tuple[sa.TextClause, dict[str, Any]]:
    """Write a statement, and once: writing it anew in each step took 6 ms of 10 for each trait."""
    wanted = stored(json.loads(definition))
    values = Values()
    sql = (
        f"{_head(wanted, values, subject, decision(()).text)}, basis AS (SELECT subject_id,"
        " array_agg(identifier_id ORDER BY identifier_id) AS basis FROM allowed"
        " GROUP BY subject_id"
        f"), made AS ({_made(wanted)})"
        " SELECT subject_id, value, events, basis, due_at FROM made JOIN basis USING (subject_id)"
    )
    if keep:
        written = statement("app.profiles", "keep_computed").text
        head, _, rest = written.partition("-- <definition\n")
        sql = head + sql + rest.partition("-- definition>")[2]
    return sa.text(sql), _bound(wanted, values)


def _head(definition: Definition, values: Values, subject: str, decided: str) -> str:
    return (
        f"WITH permission AS ({decided}), allowed AS MATERIALIZED ("
        f" SELECT identifier_id, {subject} AS subject_id FROM permission WHERE allowed"
        f"), found AS ({_found(definition, values)})"
    )


def _bound(definition: Definition, values: Values) -> dict[str, Any]:
    bound = {"window": None, "length": definition.length or DEFAULT_LENGTH, **values.values}
    if definition.within_days is not None:
        bound["window"] = definition.within_days * 86_400
    return bound


def _moments(values: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return values with moments for what is so many days ago."""
    return {
        name: now - timedelta(days=value.days) if isinstance(value, Ago) else value
        for name, value in values.items()
    }


def _found(definition: Definition, values: Values) -> str:
    """The events that count, one row each."""
    conditions = [values.called(definition), "NOT app.barred(e.refused, :purpose)"]
    if definition.within_days is not None:
        # Of what happened at the latest when it was received: by both, so that an index serves.
        conditions += [
            f"e.{at} >= CAST(:now AS timestamptz) - {_WINDOW}"
            for at in ("occurred_at", "received_at")
        ]
    value, nth, deeper = "CAST(NULL AS json)", "1", ""
    if definition.prop is not None:
        value = f"(e.properties -> {values.bind(definition.prop)})"
        way = paths.split(definition.prop)
        if way is not None:
            value, nth, deeper = "q.one", "q.nth", _deeper(definition.kind, value, way, values)
        kinds = "= 'number'" if definition.kind in NUMERIC else "<> 'null'"
        if definition.kind not in _BY_EVENT:
            conditions.append(f"json_typeof({value}) {kinds}")
    return (
        "SELECT a.subject_id, least(e.occurred_at, e.received_at) AS at,"
        " coalesce(e.source_seq, 4611686018427387903) AS place, e.received_at, e.id,"
        f" {nth} AS nth, {value} AS value FROM allowed a JOIN app.event e"
        f" ON e.identifier_id = a.identifier_id{deeper} WHERE {' AND '.join(conditions)}"
    )


def _deeper(kind: str, literal: str, way: tuple[str, str], values: Values) -> str:
    """Return the join of an event with what it has at a path; the key of that name comes first."""
    key, path = way
    every = values.all_of(f"(e.properties -> {values.bind(key)})", path)
    each = (
        f"SELECT {literal} AS one, 1 AS nth WHERE {literal} IS NOT NULL"
        f" UNION ALL SELECT d.one, d.nth FROM ({every}) d WHERE {literal} IS NULL"
    )
    if kind in _BY_EVENT:
        number = _NUMBER.replace("value", "d.one")
        each = f"SELECT to_json(sum({number})) AS one, 1 AS nth FROM ({each}) d"
    return f" CROSS JOIN LATERAL ({each}) q"


_WINDOW = "make_interval(secs => CAST(:window AS double precision))"


def _made(definition: Definition) -> str:
    """One row for each subject, and when time alone will make it another."""
    leaves = f"min(since) + {_WINDOW}" if definition.within_days is not None else None
    turns = _TURNS if definition.kind in _BY_TIME else None
    due = " , ".join(filter(None, (leaves, turns)))
    source = "(SELECT *, 1 AS counted, at AS since FROM found) f"
    if definition.kind in _BY_VALUE:
        same = "PARTITION BY subject_id, CAST(value AS jsonb)"
        source = (
            f"(SELECT *, often AS counted FROM (SELECT *, count(*) OVER ({same}) AS often,"
            f" min(at) OVER ({same}) AS since,"
            f" row_number() OVER ({same} ORDER BY {_LAST_FIRST}) AS place_among FROM found) d"
            " WHERE place_among = 1) f"
        )
    events = "sum(counted)"
    if definition.prop is not None and paths.split(definition.prop) is not None:
        one_each = "SELECT subject_id, count(DISTINCT id) AS among FROM found GROUP BY subject_id"
        source, events = f"{source} JOIN ({one_each}) e USING (subject_id)", "max(among)"
    made = _SCORED[definition.part] if definition.part else _MADE[definition.kind]
    return (
        f"SELECT subject_id, {made} AS value,"
        f" CAST({events} AS bigint) AS events,"
        f" {f'least({due})' if due else 'CAST(NULL AS timestamptz)'} AS due_at"
        f" FROM {source} GROUP BY subject_id"
    )
