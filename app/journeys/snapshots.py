# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""What was known of everybody at a moment, and what they did in the time after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from app.errors import DefinitionInvalid
from app.journeys.funnel_request import microseconds_of
from app.journeys.predicate import Parameters, known, microseconds, sql
from app.journeys.prediction_request import PredictionQuery

#: Rows that are learnt from at one time; of more people, every second, third … by their id.
MOST_ROWS = 100_000
#: What is known of everybody beside the counts of their events.
ALWAYS = ("events", "active days", "days since the last", "days since the first")

#: The first moment that Python can say in every time zone, in microseconds.
FIRST = microseconds(datetime(1, 1, 2, tzinfo=UTC))

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Snapshot:
    """People at a moment: their features as logarithms, plain, and the outcome after it.

    The outcome is of the horizon after the moment, and says nothing before that is over.
    """

    people: Any
    features: Any
    plain: Any
    outcome: Any


def names(connection: Connection, query: PredictionQuery, at: int, as_of: datetime) -> list[str]:
    """Return the names of events that most people had in the look-back before a moment."""
    parameters = Parameters()
    rows = connection.execute(
        f"""SELECT name FROM event WHERE name IS NOT NULL AND {known(as_of, parameters)}
            AND {_back(query, at, parameters)}
        GROUP BY name ORDER BY count(DISTINCT person_id) DESC, name LIMIT {query.most_names}""",
        parameters.values,
    ).fetchall()
    return [str(name) for (name,) in rows]


def take(
    connection: Connection,
    query: PredictionQuery,
    at: int,
    as_of: datetime,
    *,
    names: Sequence[str],
    every: int = 1,
) -> Snapshot:
    """Return what was known at a moment, in microseconds, of everybody in the population.

    Features rest on events that happened up to the moment, whenever they arrived; the outcome on
    those after it. With `every`, one of so many people.
    """
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    parameters = Parameters()
    happened = known(as_of, parameters)
    moment = f"{parameters.bind(at)}::BIGINT"
    ahead = f"{parameters.bind(at + microseconds_of(query.horizon))}::BIGINT"
    # Longer than the look-back nobody is known: else all grow older from one snapshot to the next,
    # and what was learnt of the young is said of the old (calibration error .055 instead of .03).
    length = f"{parameters.bind(microseconds_of(query.lookback))}::BIGINT"
    back = _back(query, at, parameters)
    outcome = sql(query.outcome, parameters)
    counts = [
        f"count(*) FILTER (inside AND name = {parameters.bind(name)}) AS n{place}"
        for place, name in enumerate(names)
    ]
    belongs = sql(query.population, parameters) if query.population else "true"
    first = "AND NOT done" if query.first else ""
    some = f"AND hash(person_id) % {every} = 0" if every > 1 else ""
    columns = "".join(f", n{place}" for place in range(len(names)))
    found = connection.execute(
        f"""
        SELECT person_id, events, days, ({moment} - last_t) / 86400e6 AS quiet,
            least({moment} - first_t, {length}) / 86400e6 AS tenure, did{columns}
        FROM (SELECT person_id, count(*) FILTER (inside) AS events,
                count(DISTINCT t // 86400000000) FILTER (inside) AS days,
                max(t) FILTER (inside) AS last_t, min(t) FILTER (t <= {moment}) AS first_t,
                bool_or(belongs AND inside) AS belongs, bool_or(wins AND t <= {moment}) AS done,
                bool_or(wins AND t > {moment} AND t <= {ahead}) AS did
                {", " + ", ".join(counts) if counts else ""}
            FROM (SELECT person_id, name, epoch_us(occurred_at) AS t, {back} AS inside,
                    {outcome} AS wins, {belongs} AS belongs
                FROM event WHERE {happened} {some})
            GROUP BY person_id)
        WHERE belongs {first} ORDER BY person_id""",
        parameters.values,
    ).fetchnumpy()
    plain = np.column_stack(
        [np.asarray(found[column], dtype=float) for column in
         ("events", "days", "quiet", "tenure", *(f"n{place}" for place in range(len(names))))]
    )  # fmt: skip
    did = np.asarray(found["did"], dtype=float)
    return Snapshot(
        people=np.asarray(found["person_id"]),
        features=np.log1p(plain),
        plain=plain,
        outcome=1 - did if query.predicts == "churn" else did,
    )


def size(connection: Connection, query: PredictionQuery, at: int, as_of: datetime) -> int:
    """Return how many people had any event in the look-back before a moment."""
    parameters = Parameters()
    [(people,)] = connection.execute(
        f"""SELECT count(DISTINCT person_id) FROM event
        WHERE {known(as_of, parameters)} AND {_back(query, at, parameters)}""",
        parameters.values,
    ).fetchall()
    return int(people)


def moments(query: PredictionQuery, as_of: datetime) -> tuple[list[int], int, int]:
    """Return the moments to learn from, latest first, the one to be judged at, and now.

    The outcomes of those to learn from are over before the one to be judged at begins. Raises
    DefinitionInvalid where one of them would be before the first day there is.
    """
    now, step = microseconds(as_of), microseconds_of(query.horizon)
    past = [now - step * (2 + back) for back in range(query.snapshots)]
    if past[-1] < FIRST:
        raise DefinitionInvalid("#/horizon: the snapshots would be before the year 1")
    return past, now - step, now


def _back(query: PredictionQuery, at: int, parameters: Parameters) -> str:
    low = parameters.bind(at - microseconds_of(query.lookback))
    high = parameters.bind(at)
    return f"(epoch_us(occurred_at) > {low}::BIGINT AND epoch_us(occurred_at) <= {high}::BIGINT)"
