# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""What separates those who come to an outcome from those who do not (research §4.12)."""

from datetime import datetime
from math import exp, log, sqrt
from typing import Literal

import duckdb
from pydantic import AwareDatetime

from app.journeys.buckets import bucket, parse, unknown
from app.journeys.definition import Frozen, definition_hash
from app.journeys.drivers_request import DriversQuery
from app.journeys.funnel_request import microseconds_of
from app.journeys.intervals import newcombe, z_of
from app.journeys.predicate import (
    POSITION,
    SAID,
    Parameters,
    during,
    json_pointer,
    known,
    microseconds,
    sql,
)
from app.journeys.significance import discoveries, shares

#: A feature so near the outcome says the same in other words (research §4.12).
LEAKING = 0.95
#: Features that are tested, the most frequent ones; what lies beyond is counted.
MOST_FEATURES = 500


class DriversSemantics(Frozen):
    """Every choice behind the numbers of drivers."""

    unit: Literal["profile"] = "profile"
    entry: Literal["a person's first such event in range"] = "a person's first such event in range"
    feature: Literal["an event after the entry, within `observe`; a value of the entry"] = (
        "an event after the entry, within `observe`; a value of the entry"
    )
    outcome: Literal["after `observe`, within `window`"] = "after `observe`, within `window`"
    observe: str
    window: str
    odds_ratio: Literal["Haldane-Anscombe, 1/2 added to each cell; 95 % interval on the log"] = (
        "Haldane-Anscombe, 1/2 added to each cell; 95 % interval on the log"
    )
    difference: Literal["Newcombe's interval (method 10), 95 %"] = (
        "Newcombe's interval (method 10), 95 %"
    )
    test: Literal["z, pooled; Fisher's exact test where an expected count is below 5"] = (
        "z, pooled; Fisher's exact test where an expected count is below 5"
    )
    multiplicity: Literal["Benjamini-Hochberg over all features that were tested"] = (
        "Benjamini-Hochberg over all features that were tested"
    )
    order: Literal["by |phi|; what leaks comes last"] = "by |phi|; what leaks comes last"
    leaking: float = LEAKING
    least: int
    evidence: Literal["observational"] = "observational"


class Driver(Frozen):
    """One feature: how many have it and come to the outcome, against those who have it not.

    `leaks` says that it is all but the outcome itself. `median_count` is of events only.
    """

    kind: Literal["event", "prop"]
    name: str
    value: str | None
    n_with: int
    k_with: int
    n_without: int
    k_without: int
    share_with: float
    share_without: float
    difference: float
    interval: tuple[float, float]
    odds_ratio: float
    odds_interval: tuple[float, float]
    lift: float | None
    phi: float
    test: str
    p: float
    q: float
    leaks: bool
    median_count: float | None
    bucket: str


class DriversResult(Frozen):
    """An answer about drivers; `tested` features, of which the `top` are listed."""

    semantics: DriversSemantics
    n: int
    k: int
    share: float | None
    decided: int
    in_progress: int
    tested: int
    too_rare: int
    beyond: int
    discoveries: int
    drivers: tuple[Driver, ...]
    buckets: dict[str, str]
    as_of: AwareDatetime
    definition_hash: str


def drivers(
    connection: duckdb.DuckDBPyConnection, query: DriversQuery, *, as_of: datetime
) -> DriversResult:
    """Test every feature over the view `event`. Read-only."""
    parameters = Parameters()
    text = _watched(query, as_of, parameters)
    [(totals, features)] = connection.execute(
        f"""{text}
        SELECT (SELECT {{'n': count(*) FILTER (fate IN ('yes', 'no')),
                'k': count(*) FILTER (fate = 'yes'), 'decided': count(*) FILTER (fate = 'decided'),
                'in_progress': count(*) FILTER (fate = 'in_progress')}} FROM watched),
            (SELECT list(x ORDER BY n DESC, kind, name, value NULLS FIRST) FROM (
                SELECT kind, name, value, count(*) AS n,
                    count(*) FILTER (fate = 'yes') AS k, median(times) AS median_count
                FROM feature GROUP BY kind, name, value) x)""",
        parameters.values,
    ).fetchall()
    n, k = totals["n"], totals["k"]
    found = features or []
    usable = [one for one in found if min(one["n"], n - one["n"]) >= query.least]
    tested = usable[:MOST_FEATURES]
    verdicts = [shares(one["k"], one["n"], k - one["k"], n - one["n"]) for one in tested]
    qs = discoveries([verdict.p for verdict in verdicts])
    rows = [
        _driver(one, n, k, verdict.test, verdict.p, q)
        for one, verdict, q in zip(tested, verdicts, qs, strict=True)
    ]
    rows.sort(key=lambda one: (one.leaks, -abs(one.phi), one.kind, one.name, one.value or ""))
    said = query.model_dump(mode="json")
    return DriversResult(
        semantics=DriversSemantics(
            observe=said["observe"], window=said["window"], least=query.least
        ),
        n=n,
        k=k,
        share=k / n if n else None,
        decided=totals["decided"],
        in_progress=totals["in_progress"],
        tested=len(tested),
        too_rare=len(found) - len(usable),
        beyond=len(usable) - len(tested),
        discoveries=sum(one.q < 0.05 and not one.leaks for one in rows),
        drivers=tuple(rows[: query.top]),
        buckets={fate: bucket("fate", fate) for fate in ("yes", "no", "decided", "in_progress")},
        as_of=as_of,
        definition_hash=definition_hash(query),
    )


def people(
    connection: duckdb.DuckDBPyConnection, query: DriversQuery, *, as_of: datetime, number: str
) -> list[int]:
    """Return the people behind a number, ascending: `with:` a feature, or `fate:yes`, `fate:no`,
    `fate:decided`, `fate:in_progress`.

    Raises BucketInvalid.
    """
    kind, place = parse(number)
    parameters = Parameters()
    text = _watched(query, as_of, parameters)
    if kind == "with" and len(place) == 3:
        bound = [f"{parameters.bind(part)}::VARCHAR" for part in place]
        tests = zip(("kind", "name", "value"), bound, strict=True)
        where = " AND ".join(f"{column} IS NOT DISTINCT FROM {value}" for column, value in tests)
        relation = "feature"
    elif kind == "fate" and place[0] in ("yes", "no", "decided", "in_progress"):
        relation, where = "watched", f"fate = '{place[0]}'"
    else:
        raise unknown(number, "with:[kind,name,value], fate:yes, :no, :decided, :in_progress")
    rows = connection.execute(
        f"{text} SELECT DISTINCT person_id FROM {relation} WHERE {where} ORDER BY person_id",
        parameters.values,
    ).fetchall()
    return [int(row[0]) for row in rows]


def _watched(query: DriversQuery, as_of: datetime, parameters: Parameters) -> str:
    """`watched(person_id, …, fate)`: one row per entry. `feature`: one per person and feature."""
    observe = f"{parameters.bind(microseconds_of(query.observe))}::BIGINT"
    window = f"{parameters.bind(microseconds_of(query.window))}::BIGINT"
    now = f"{parameters.bind(microseconds(as_of))}::BIGINT"
    entered = during(query.range.start, query.range.end, parameters)
    enters = sql(query.entry, parameters)
    values = []
    for path in query.props:
        found = f"json_extract_string({SAID}, {parameters.bind(json_pointer(path))})"
        values.append(f"{{'name': {parameters.bind(path)}::VARCHAR, 'value': {found}}}")
    told = f"CASE WHEN {enters} THEN [{', '.join(values)}] END" if values else "NULL"
    of_entry = (
        """UNION ALL
    SELECT w.person_id, w.fate, 'prop', one.name, one.value, NULL
    FROM (SELECT person_id, fate, unnest(told) AS one FROM watched) w
    WHERE fate IN ('yes', 'no') AND one.value IS NOT NULL"""
        if values
        else ""
    )
    return f"""
WITH placed AS MATERIALIZED (
    SELECT person_id, epoch_us(occurred_at) AS t, name, {enters} AS enters,
        {sql(query.outcome, parameters)} AS wins, {told} AS told, {POSITION} AS pos
    FROM event WHERE {known(as_of, parameters)}),
entry AS (
    SELECT person_id, min(pos) AS pos, arg_min(t, pos) AS t, arg_min(told, pos) AS told
    FROM placed WHERE enters AND {entered} GROUP BY person_id),
outcome AS (
    SELECT e.person_id, min(p.t) AS t FROM entry e
    JOIN placed p ON p.person_id = e.person_id AND p.wins AND p.pos > e.pos
    GROUP BY e.person_id),
watched AS MATERIALIZED (
    SELECT e.person_id, e.pos, e.t, e.told,
        CASE WHEN o.t <= e.t + {observe} THEN 'decided'
            WHEN e.t + {observe} + {window} > {now} THEN 'in_progress'
            WHEN o.t <= e.t + {observe} + {window} THEN 'yes' ELSE 'no' END AS fate
    FROM entry e LEFT JOIN outcome o USING (person_id)),
feature AS (
    SELECT w.person_id, w.fate, 'event' AS kind, p.name, NULL::VARCHAR AS value,
        count(*) AS times
    FROM watched w JOIN placed p ON p.person_id = w.person_id AND p.pos > w.pos
        AND p.t <= w.t + {observe}
    WHERE w.fate IN ('yes', 'no') AND p.name IS NOT NULL
    GROUP BY w.person_id, w.fate, p.name
    {of_entry})
"""


def _driver(one: dict[str, object], n: int, k: int, test: str, p: float, q: float) -> Driver:
    n1, k1 = int(str(one["n"])), int(str(one["k"]))
    n2, k2 = n - n1, k - k1
    a, b, c, d = (cell + 0.5 for cell in (k1, n1 - k1, k2, n2 - k2))
    odds, half = a * d / (b * c), z_of(0.95) * sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    spread = sqrt(n1 * n2 * k * (n - k))
    phi = (k1 * (n2 - k2) - (n1 - k1) * k2) / spread if spread else 0.0
    value = one["value"]
    median = one["median_count"]
    return Driver(
        kind="event" if one["kind"] == "event" else "prop",
        name=str(one["name"]),
        value=None if value is None else str(value),
        n_with=n1,
        k_with=k1,
        n_without=n2,
        k_without=k2,
        share_with=k1 / n1,
        share_without=k2 / n2,
        difference=k1 / n1 - k2 / n2,
        interval=newcombe(k1, n1, k2, n2),
        odds_ratio=odds,
        odds_interval=(exp(log(odds) - half), exp(log(odds) + half)),
        lift=k1 / n1 / (k / n) if k else None,
        phi=phi,
        test=test,
        p=p,
        q=q,
        leaks=abs(phi) > LEAKING,
        median_count=None if median is None else float(str(median)),
        bucket=bucket("with", one["kind"], one["name"], value),
    )
