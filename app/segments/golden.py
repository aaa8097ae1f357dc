"""The value of one trait for sets of people, by its rule; `app.profiles.traits` says it for one."""
# ruff: noqa: S608 - only SQL of our own becomes text; keys and sources are bound

from collections.abc import Callable
from typing import Any

from app.profiles.survivorship import COUNTED, Survivorship

Bind = Callable[[Any], str]


def latest_first(prefix: str = "", direction: str = "DESC") -> str:
    """Return how values are ordered by when they count from; `traits.order` says the same."""
    at, received = f"{prefix}occurred_at", f"{prefix}received_at"
    place = f"coalesce({prefix}source_seq, 4611686018427387903)"
    terms = (f"least({at}, {received})", place, received, f"{prefix}event_id")
    return ", ".join(f"{term} {direction}" for term in terms)


def values(key: str, rule: Survivorship, bind: Bind) -> str:
    """Return a query of person_id and value (json): the trait of everybody in `allowed`.

    Who has no value, or whose latest is null, may be missing or have null.
    """
    if rule.rule in COUNTED:
        return _counted(key, rule.rule, bind)
    said = (
        " FROM allowed a JOIN app.trait t ON t.identifier_id = a.identifier_id"
        f" WHERE t.key = {bind(key)} AND NOT (:purpose = ANY(t.refused))"
    )
    if rule.rule == "latest":
        return (
            f"SELECT DISTINCT ON (a.person_id) a.person_id, t.value{said}"
            f" ORDER BY a.person_id, {latest_first('t.')}"
        )
    rank = f"array_position(CAST({bind(list(rule.sources))} AS text[]), o.name)"
    return (
        "SELECT DISTINCT ON (l.person_id) l.person_id, l.value FROM ("
        f" SELECT DISTINCT ON (a.person_id, t.source_id) a.person_id, t.*{said}"
        f" ORDER BY a.person_id, t.source_id, {latest_first('t.')}) l"
        " JOIN app.source o ON o.id = l.source_id"
        " WHERE json_typeof(l.value) <> 'null'"
        f" ORDER BY l.person_id, {rank} NULLS LAST, {latest_first('l.')}"
    )


def _counted(key: str, rule: str, bind: Bind) -> str:
    """Return the same of a rule that looks at every value ever said."""
    said = (
        "SELECT a.person_id, v.*,"
        " first_value(json_typeof(v.value)) OVER (PARTITION BY a.person_id"
        f" ORDER BY {latest_first('v.last_')}) AS latest,"
        " sum(v.times) OVER (PARTITION BY a.person_id, v.digest) AS often,"
        " CASE json_typeof(v.value) WHEN 'number' THEN 2 WHEN 'string' THEN 1 ELSE 0 END AS kind,"
        " CASE json_typeof(v.value) WHEN 'number' THEN CAST(v.value #>> '{}' AS numeric) END"
        " AS number"
        " FROM allowed a JOIN app.trait_value v ON v.identifier_id = a.identifier_id"
        f" WHERE v.key = {bind(key)} AND NOT (:purpose = ANY(v.refused))"
    )
    standing = f"({said}) s WHERE s.latest <> 'null' AND json_typeof(s.value) <> 'null'"
    if rule == "union":
        return _union(standing)
    return (
        f"SELECT DISTINCT ON (s.person_id) s.person_id, s.value FROM {standing}"
        f" ORDER BY s.person_id, {_CHOICES[rule]}"
    )


_TEXT = "CASE WHEN s.kind = 1 THEN s.value #>> '{}' END"
_CHOICES = {
    "first": latest_first("s.first_", "ASC"),
    "most_frequent": f"s.often DESC, {latest_first('s.last_')}",
    "longest": f"coalesce(length({_TEXT}), 0) DESC, {latest_first('s.last_')}",
    "max": "s.kind DESC, s.number DESC NULLS LAST,"
    f' {_TEXT} COLLATE "C" DESC NULLS LAST, {latest_first("s.last_")}',
    "min": f's.kind DESC, s.number, {_TEXT} COLLATE "C", {latest_first("s.last_")}',
}


def _union(standing: str) -> str:
    """All different values in the order in which they were said first; lists count as theirs."""
    return (
        "SELECT u.person_id, to_json(array_agg(u.one ORDER BY"
        f" {latest_first('u.first_', 'ASC')}, u.place)) AS value FROM ("
        " SELECT DISTINCT ON (s.person_id, e.one) s.person_id, e.one, e.place,"
        " s.first_occurred_at, s.first_received_at, s.first_source_seq, s.first_event_id"
        f" FROM {standing.replace(' s WHERE', ' s CROSS JOIN LATERAL ' + _ELEMENTS + ' WHERE', 1)}"
        " AND jsonb_typeof(e.one) <> 'null'"
        f" ORDER BY s.person_id, e.one, {latest_first('s.first_', 'ASC')}, e.place) u"
        " GROUP BY u.person_id"
    )


_ELEMENTS = (
    "jsonb_array_elements(CASE json_typeof(s.value) WHEN 'array' THEN CAST(s.value AS jsonb)"
    " ELSE jsonb_build_array(s.value) END) WITH ORDINALITY AS e(one, place)"
)
