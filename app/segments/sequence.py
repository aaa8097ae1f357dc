"""Writes "A then B within so many days without C" as one pass over the events of everybody."""
# ruff: noqa: S608 - only SQL of our own becomes text; what a rule says is bound

from collections.abc import Callable
from typing import Any

from app.segments.definition import Sequence, Step

#: Backwards, so that the frame only grows: PostgreSQL adds to a maximum, and cannot take from it.
_LATER = "(PARTITION BY person_id ORDER BY nth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


def people(
    rule: Sequence,
    test: Callable[[Step], str],
    bind: Callable[[Any], str],
    ago: Callable[[float], str],
) -> str:
    """Return a query of person_id: of everybody in `happened`, who went through the sequence.

    It asks for :now; `test` names the column of `happened` that says which events are a step's,
    `ago` is the moment so many days before now.

    From the last step back (`nth` counts from a person's last event) each event learns the earliest
    end that it leads to, which is also the end with the least in between. So one pass over the
    events decides, however many there are.
    """
    matches = [f"{test(step)} AS s{n}" for n, step in enumerate(rule.sequence)]
    unwanted = " OR ".join(map(test, rule.without)) or "false"
    columns = ", ".join(f"s{n}" for n in range(len(matches)))
    asked = " OR ".join(dict.fromkeys(map(test, (*rule.sequence, *rule.without))))
    lately = f" AND at >= {ago(rule.since_days)}" if rule.since_days is not None else ""
    said = (
        f"SELECT person_id, at, nth, ({unwanted}) AS c, {', '.join(matches)}"
        f" FROM happened WHERE ({asked}){lately}"
    )
    last = len(matches) - 1
    walked = (
        f"SELECT *, CASE WHEN s{last} THEN nth END AS end_nth,"
        f" CASE WHEN s{last} THEN at END AS end_at FROM ({said}) q"
    )
    for n in range(last - 1, -1, -1):
        walked = (
            f"SELECT person_id, at, c, {columns}, nth,"
            f" CASE WHEN s{n} THEN max(end_nth) OVER later END AS end_nth,"
            f" CASE WHEN s{n} THEN min(end_at) OVER later END AS end_at"
            f" FROM ({walked}) q WINDOW later AS {_LATER}"
        )
    return (
        "SELECT person_id FROM (SELECT *,"
        " max(CASE WHEN c THEN nth END) OVER later AS stop_nth,"
        " min(CASE WHEN c THEN at END) OVER later AS stop_at"
        f" FROM ({walked}) q WINDOW later AS {_LATER}) w"
        f" WHERE s0 AND end_nth IS NOT NULL AND {' AND '.join(_bounds(rule, bind, ago))}"
    )


def _bounds(rule: Sequence, bind: Callable[[Any], str], ago: Callable[[float], str]) -> list[str]:
    moment = "CAST(:now AS timestamptz)"
    bounds = ["true"]
    if rule.since_days is not None:
        bounds.append(f"at >= {ago(rule.since_days)}")
    if rule.within_days is None:
        return [*bounds, "(stop_nth IS NULL OR stop_nth <= end_nth)"]
    seconds = bind(rule.within_days * 86_400)
    until = f"at + make_interval(secs => CAST({seconds} AS float8))"
    if len(rule.sequence) == 1:  # nothing of the kind came in all of that time, which is over
        return [*bounds, f"{until} <= {moment}", f"(stop_at IS NULL OR stop_at > {until})"]
    return [*bounds, f"end_at <= {until}", "(stop_nth IS NULL OR stop_nth <= end_nth)"]
