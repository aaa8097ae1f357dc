"""Writes a computed trait as one statement over the events of people, under consent."""
# ruff: noqa: S608 - only SQL of our own becomes text; what a definition says is bound

from collections.abc import Collection
from datetime import datetime
from typing import Any

import consent
from app.consents.permission import decision, parameters, unit
from app.profiles.computed import DEFAULT_LENGTH, NUMERIC, Definition
from app.profiles.conditions import Values

_LAST_FIRST = "at DESC, place DESC, received_at DESC, id DESC"
_FIRST_FIRST = "at, place, received_at, id"
_NUMBER = "CASE json_typeof(value) WHEN 'number' THEN CAST(value #>> '{}' AS numeric) END"
_DAYS = "floor(extract(epoch FROM CAST(:now AS timestamptz) - max(at)) / 86400)"
_TURNS = f"max(at) + make_interval(secs => CAST(({_DAYS} + 1) * 86400 AS double precision))"
#: What is made of the events of one person.
_MADE = {
    "count": "to_json(count(*))",
    "sum": f"to_json(sum({_NUMBER}))",
    "min": f"to_json(min({_NUMBER}))",
    "max": f"to_json(max({_NUMBER}))",
    "average": f"to_json(trim_scale(avg({_NUMBER})))",
    "first": f"(array_agg(value ORDER BY {_FIRST_FIRST}))[1]",
    "last": f"(array_agg(value ORDER BY {_LAST_FIRST}))[1]",
    "last_list": f"to_json((array_agg(value ORDER BY {_LAST_FIRST}))[1:CAST(:length AS int)])",
    "most_frequent": f"(array_agg(value ORDER BY often DESC, {_LAST_FIRST}))[1]",
    "unique_list": f"to_json((array_agg(value ORDER BY {_LAST_FIRST}))[1:CAST(:length AS int)])",
    "days_since": f"to_json({_DAYS})",
    "rfm": f"json_build_object('recency_days', {_DAYS}, 'frequency', count(*),"
    f" 'monetary', coalesce(sum({_NUMBER}), 0))",
}
#: These look at each different value once.
_BY_VALUE = frozenset({"most_frequent", "unique_list"})
_BY_TIME = frozenset({"days_since", "rfm"})


def query(
    definition: Definition,
    purpose: consent.Purpose,
    *,
    now: datetime,
    people: Collection[int],
) -> tuple[str, dict[str, Any]]:
    """Return the statement that yields subject_id, value, events, basis and due_at, and its values.

    Consent is inside: only events of identifiers that may be used for the purpose now enter, none
    that was stamped against it; `basis` are these identifiers. Of a purpose that demands
    deterministic links a subject is an asserted group. Whoever has no such event is not in it.
    """
    values = Values()
    sql = (
        f"WITH permission AS ({decision(people).text}), allowed AS MATERIALIZED ("
        f" SELECT identifier_id, {unit(purpose)} AS subject_id FROM permission WHERE allowed"
        "), basis AS (SELECT subject_id, array_agg(identifier_id ORDER BY identifier_id) AS basis"
        " FROM allowed GROUP BY subject_id"
        f"), found AS ({_found(definition, values)}), made AS ({_made(definition)})"
        " SELECT subject_id, value, events, basis, due_at FROM made JOIN basis USING (subject_id)"
    )
    window = None if definition.within_days is None else definition.within_days * 86_400
    bound = {
        "now": now,
        "window": window,
        "length": definition.length or DEFAULT_LENGTH,
        **parameters(purpose, people),
        **values.values,
    }
    return sql, bound


def _found(definition: Definition, values: Values) -> str:
    """The events that count, one row each."""
    conditions = [f"e.name = {values.bind(definition.event)}", "NOT (:purpose = ANY(e.refused))"]
    if definition.within_days is not None:
        conditions.append(f"e.occurred_at >= CAST(:now AS timestamptz) - {_WINDOW}")
    conditions += [values.property(p) for p in definition.where]
    value = "CAST(NULL AS json)"
    if definition.prop is not None:
        value = f"(e.properties -> {values.bind(definition.prop)})"
        kinds = "= 'number'" if definition.kind in NUMERIC else "<> 'null'"
        if definition.kind != "rfm":
            conditions.append(f"json_typeof({value}) {kinds}")
    return (
        "SELECT a.subject_id, e.occurred_at, least(e.occurred_at, e.received_at) AS at,"
        " coalesce(e.source_seq, 4611686018427387903) AS place, e.received_at, e.id,"
        f" {value} AS value FROM allowed a JOIN app.event e"
        f" ON e.identifier_id = a.identifier_id WHERE {' AND '.join(conditions)}"
    )


_WINDOW = "make_interval(secs => CAST(:window AS double precision))"


def _made(definition: Definition) -> str:
    """One row for each subject, and when time alone will make it another."""
    leaves = f"min(since) + {_WINDOW}" if definition.within_days is not None else None
    turns = _TURNS if definition.kind in _BY_TIME else None
    due = " , ".join(filter(None, (leaves, turns)))
    source = "(SELECT *, 1 AS counted, occurred_at AS since FROM found) f"
    if definition.kind in _BY_VALUE:
        same = "PARTITION BY subject_id, CAST(value AS jsonb)"
        source = (
            f"(SELECT *, often AS counted FROM (SELECT *, count(*) OVER ({same}) AS often,"
            f" min(occurred_at) OVER ({same}) AS since,"
            f" row_number() OVER ({same} ORDER BY {_LAST_FIRST}) AS place_among FROM found) d"
            " WHERE place_among = 1) f"
        )
    return (
        f"SELECT subject_id, {_MADE[definition.kind]} AS value,"
        " CAST(sum(counted) AS bigint) AS events,"
        f" {f'least({due})' if due else 'CAST(NULL AS timestamptz)'} AS due_at"
        f" FROM {source} GROUP BY subject_id"
    )
