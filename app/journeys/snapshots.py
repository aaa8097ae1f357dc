# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""What was known of everybody at a moment, and what they did in the time after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

import duckdb

from app.errors import AnalysisTooLarge, DefinitionInvalid
from app.journeys.funnel_request import microseconds_of
from app.journeys.predicate import Parameters, known, microseconds, sql
from app.journeys.prediction_request import PredictionQuery

#: Rows that are learnt from at one time; of more people, every second, third … by their id.
MOST_ROWS = 100_000
#: Numbers that are learnt from, all times together: five copies of 8 bytes while a model is fitted.
MOST_NUMBERS = 8_000_000
#: People of one moment, some 100 bytes of memory each.
MOST_PEOPLE = 5_000_000
#: People whose events are counted by name at once: with 100 names 7 MB, of which a score takes
#: three copies.
PORTION = 8_192
#: Rows that come from DuckDB at once.
BATCH = 65_536
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


@dataclass(frozen=True, slots=True)
class _Crowd:
    """People at a moment, ascending: what is known of everybody, and the outcome after it."""

    people: Any
    always: Any
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
    only: Sequence[int] | None = None,
) -> Snapshot:
    """Return what was known at a moment, in microseconds, of everybody in the population.

    Features rest on events that happened up to the moment, whenever they arrived; the outcome on
    those after it. With `every`, one of so many people; with `only`, some of them.
    """
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    found = list(portions(connection, query, at, as_of, names=names, every=every, only=only))
    width = len(ALWAYS) + len(names)
    none = np.empty((0, width))
    empty = Snapshot(np.empty(0, np.int64), none, none, np.empty(0))
    parts = [empty, *found]
    return Snapshot(
        people=np.concatenate([one.people for one in parts]),
        features=np.concatenate([one.features for one in parts]),
        plain=np.concatenate([one.plain for one in parts]),
        outcome=np.concatenate([one.outcome for one in parts]),
    )


def portions(
    connection: Connection,
    query: PredictionQuery,
    at: int,
    as_of: datetime,
    *,
    names: Sequence[str],
    every: int = 1,
    only: Sequence[int] | None = None,
) -> Iterator[Snapshot]:
    """Yield what `take` returns by portions of people, ascending.

    Counts by name are streamed from DuckDB in the order of people, sorted on the disk where they
    are many: of millions of people a table with a column for each name would fill the memory.
    """
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    crowd = _crowd(connection, query, at, as_of, every, only)
    counts = _counts(connection, query, at, as_of, names, every, only)
    rest: tuple[Any, ...] = tuple(np.empty(0, np.int64) for _ in range(3))
    read = -1
    for start in range(0, len(crowd.people), PORTION):
        here = slice(start, start + PORTION)
        people = crowd.people[here]
        parts = [rest]
        while read <= people[-1] and (batch := next(counts, None)) is not None:
            read = int(batch[0][-1]) if len(batch[0]) else read
            # Who is not in the population is let go at once: of a few among millions it would be
            # millions until the next of the few comes.
            at_most = np.searchsorted(crowd.people, batch[0]).clip(max=len(crowd.people) - 1)
            mine = crowd.people[at_most] == batch[0]
            parts.append(tuple(column[mine] for column in batch))
        person, place, n = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        later = int(np.searchsorted(person, people[-1], side="right"))
        rest = (person[later:], place[later:], n[later:])
        rows: Any = np.searchsorted(people, person[:later])
        plain = np.zeros((len(people), len(ALWAYS) + len(names)))
        plain[:, : len(ALWAYS)] = crowd.always[here]
        plain[rows, len(ALWAYS) + place[:later]] = n[:later]
        yield Snapshot(people, np.log1p(plain), plain, crowd.outcome[here])


def _crowd(
    connection: Connection,
    query: PredictionQuery,
    at: int,
    as_of: datetime,
    every: int,
    only: Sequence[int] | None,
) -> _Crowd:
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
    belongs = sql(query.population, parameters) if query.population else "true"
    first = "AND NOT done" if query.first else ""
    rows = connection.sql(
        f"""
        SELECT person_id, events, days, ({moment} - last_t) / 86400e6 AS quiet,
            least({moment} - first_t, {length}) / 86400e6 AS tenure, did
        FROM (SELECT person_id, sum(events) AS events, count(*) FILTER (events > 0) AS days,
                max(last_t) AS last_t, min(first_t) AS first_t, bool_or(belongs) AS belongs,
                bool_or(done) AS done, bool_or(did) AS did
            FROM (SELECT person_id, count(*) FILTER (inside) AS events,
                    max(t) FILTER (inside) AS last_t, min(t) FILTER (t <= {moment}) AS first_t,
                    bool_or(belongs AND inside) AS belongs, bool_or(wins AND t <= {moment}) AS done,
                    bool_or(wins AND t > {moment} AND t <= {ahead}) AS did
                FROM (SELECT person_id, epoch_us(occurred_at) AS t, {back} AS inside,
                        {outcome} AS wins, {belongs} AS belongs
                    FROM event WHERE {happened} {_some(every, only, parameters)})
                GROUP BY person_id, t // 86400000000)
            GROUP BY person_id)
        WHERE belongs {first} ORDER BY person_id LIMIT {MOST_PEOPLE + 1}""",
        params=parameters.values,
    )
    columns = ("person_id", "events", "days", "quiet", "tenure", "did")
    found: dict[str, list[Any]] = {name: [np.empty(0)] for name in columns}
    found["person_id"] = [np.empty(0, np.int64)]
    for batch in rows.to_arrow_reader(BATCH):
        for name in columns:
            column = batch.column(name).to_numpy(zero_copy_only=False)
            found[name].append(column.astype(np.int64 if name == "person_id" else float))
    whole = {name: np.concatenate(found.pop(name)) for name in columns}
    if len(whole["did"]) > MOST_PEOPLE:
        raise AnalysisTooLarge(f"more than {MOST_PEOPLE} people to score; ask of a population")
    did = whole["did"]
    return _Crowd(
        people=whole["person_id"],
        always=np.column_stack([whole[name] for name in columns[1:-1]]),
        outcome=1 - did if query.predicts == "churn" else did,
    )


def _counts(
    connection: Connection,
    query: PredictionQuery,
    at: int,
    as_of: datetime,
    names: Sequence[str],
    every: int,
    only: Sequence[int] | None,
) -> Iterator[tuple[Any, ...]]:
    """Yield person, place of the name and how many, ascending by person."""
    import numpy as np  # noqa: PLC0415  # loaded when a prediction is asked for

    if not names:
        return
    parameters = Parameters()
    listed = parameters.bind(list(names))
    rows = connection.sql(
        f"""SELECT person_id, list_position({listed}::VARCHAR[], name) - 1 AS place, n
        FROM (SELECT person_id, name, count(*) AS n FROM event
            WHERE list_contains({listed}::VARCHAR[], name) AND {known(as_of, parameters)}
                AND {_back(query, at, parameters)} {_some(every, only, parameters)}
            GROUP BY person_id, name)
        ORDER BY person_id""",
        params=parameters.values,
    )
    for batch in rows.to_arrow_reader(BATCH):
        yield tuple(
            batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
            for name in ("person_id", "place", "n")
        )


def sampled(connection: Connection, query: PredictionQuery, as_of: datetime, columns: int) -> int:
    """Return of how many people one is learnt from: as many as memory holds at each moment."""
    parameters = Parameters()
    past, _, _ = moments(query, as_of)
    counts = ", ".join(
        f"count(DISTINCT person_id) FILTER ({_back(query, at, parameters)})" for at in past
    )
    [row] = connection.execute(
        f"SELECT {counts} FROM event WHERE {known(as_of, parameters)}", parameters.values
    ).fetchall()
    people = [int(one) for one in row]
    return max(1, ceil(max(people) / MOST_ROWS), ceil(sum(people) * columns / MOST_NUMBERS))


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


def _some(every: int, only: Sequence[int] | None, parameters: Parameters) -> str:
    some = f" AND hash(person_id) % {every} = 0" if every > 1 else ""
    if only is not None:
        some += f" AND person_id IN (SELECT unnest({parameters.bind(list(only))}::BIGINT[]))"
    return some
