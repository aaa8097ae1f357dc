"""Writes "A then B within so many days without C" as one pass over the events of everybody."""
# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound

from collections.abc import Callable

from app.profiles.conditions import Values
from app.segments.definition import Sequence, Step

#: Backwards, so that the frame only grows: PostgreSQL adds to a minimum, and cannot take from it.
_LATER = (
    "(PARTITION BY person_id ORDER BY pos DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
)


def people(rule: Sequence, values: Values, ago: Callable[[float], str]) -> str:
    """Return a query of person_id: of everybody in `allowed`, who went through the sequence.

    It asks for :now; `ago` is the moment so many days before.

    From the last step back each event learns the earliest end that it leads to, which is also the
    end with the least in between. So one pass over the events decides, however many there are.
    """
    matches = [f"({_step(step, values)}) AS s{n}" for n, step in enumerate(rule.sequence)]
    unwanted = " OR ".join(f"({_step(step, values)})" for step in rule.without) or "false"
    names = values.bind(sorted({step.event for step in (*rule.sequence, *rule.without)}))
    columns = ", ".join(f"s{n}" for n in range(len(matches)))
    lately = ""
    if rule.since_days is not None:  # what counts from no earlier happened no earlier
        lately = f" AND e.occurred_at >= {ago(rule.since_days)}"
    said = (
        f"SELECT person_id, at, c, {columns},"
        " row_number() OVER (PARTITION BY person_id ORDER BY at, place, received_at, id) AS pos"
        " FROM (SELECT a.person_id, least(e.occurred_at, e.received_at) AS at,"
        " coalesce(e.source_seq, 4611686018427387903) AS place, e.received_at, e.id,"
        f" ({unwanted}) AS c, {', '.join(matches)}"
        " FROM allowed a JOIN app.event e ON e.identifier_id = a.identifier_id"
        f" WHERE e.name = ANY(CAST({names} AS text[]))"
        f" AND NOT (:purpose = ANY(e.refused)){lately}) h"
    )
    last = len(matches) - 1
    walked = (
        f"SELECT *, CASE WHEN s{last} THEN pos END AS end_pos,"
        f" CASE WHEN s{last} THEN at END AS end_at FROM ({said}) q"
    )
    for n in range(last - 1, -1, -1):
        walked = (
            f"SELECT person_id, at, c, {columns}, pos,"
            f" CASE WHEN s{n} THEN min(end_pos) OVER later END AS end_pos,"
            f" CASE WHEN s{n} THEN min(end_at) OVER later END AS end_at"
            f" FROM ({walked}) q WINDOW later AS {_LATER}"
        )
    return (
        "SELECT person_id FROM (SELECT *,"
        " min(CASE WHEN c THEN pos END) OVER later AS stop_pos,"
        " min(CASE WHEN c THEN at END) OVER later AS stop_at"
        f" FROM ({walked}) q WINDOW later AS {_LATER}) w"
        f" WHERE s0 AND end_pos IS NOT NULL AND {' AND '.join(_bounds(rule, values, ago))}"
    )


def _step(step: Step, values: Values) -> str:
    conditions = [f"e.name = {values.bind(step.event)}", *map(values.property, step.where)]
    return " AND ".join(conditions)


def _bounds(rule: Sequence, values: Values, ago: Callable[[float], str]) -> list[str]:
    moment = "CAST(:now AS timestamptz)"
    bounds = ["true"]
    if rule.since_days is not None:
        bounds.append(f"at >= {ago(rule.since_days)}")
    if rule.within_days is None:
        return [*bounds, "(stop_pos IS NULL OR stop_pos >= end_pos)"]
    seconds = values.bind(rule.within_days * 86_400)
    until = f"at + make_interval(secs => CAST({seconds} AS float8))"
    if len(rule.sequence) == 1:  # nothing of the kind came in all of that time, which is over
        return [*bounds, f"{until} <= {moment}", f"(stop_at IS NULL OR stop_at > {until})"]
    return [*bounds, f"end_at <= {until}", "(stop_pos IS NULL OR stop_pos >= end_pos)"]
