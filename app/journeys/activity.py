# ruff: noqa: S608 - only numbers and names of our own become text; what people wrote is bound
"""When people were active, in intervals of a calendar: what retention and its like start from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from app.errors import DefinitionInvalid
from app.journeys.calendars import Unit, starts
from app.journeys.definition import Match
from app.journeys.predicate import Parameters, known, microseconds, sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The intervals of an answer: where each begins, and the names to show."""

    bounds: tuple[datetime, ...]
    names: tuple[str, ...]
    as_of: datetime

    def complete(self, place: int) -> bool:
        """Say whether an interval is over; beyond the last one there is none that is."""
        return place + 1 < len(self.bounds) and self.bounds[place + 1] <= self.as_of

    def within(self, start: datetime | None, end: datetime | None) -> tuple[int, int]:
        """Return the first interval that meets [start, end), and the one after the last."""
        size = len(self.names)
        first = next((i for i in range(size) if start is None or self.bounds[i + 1] > start), size)
        last = next((i for i in range(size) if end is not None and self.bounds[i] >= end), size)
        return first, max(first, last)


@contextmanager
def active(
    connection: duckdb.DuckDBPyConnection,
    matches: Mapping[str, Match],
    *,
    unit: Unit,
    zone: str,
    as_of: datetime,
    columns: Callable[[Parameters], Mapping[str, str]] = lambda _: {},
) -> Iterator[Calendar]:
    """Hold who did what when in a table of this connection, `active`, while the block runs.

    `active(person_id, t, place, …)`: a row for each event that fits a match, with a flag for each,
    the time in microseconds and the interval; and `columns`, SQL of our own over the event. Raises
    DefinitionInvalid when there would be too many intervals.
    """
    parameters = Parameters()
    kept = {name: sql(match, parameters) for name, match in matches.items()}
    kept |= columns(parameters)
    flags = ", ".join(f"{said} AS {name}" for name, said in kept.items())
    connection.execute(
        f"""CREATE TEMP TABLE fitting AS
        SELECT * FROM (SELECT person_id, epoch_us(occurred_at) AS t, {flags}
            FROM event WHERE {known(as_of, parameters)}) WHERE {" OR ".join(matches)}""",
        parameters.values,
    )
    try:
        bounds = _bounds(connection, unit, zone, as_of)
        connection.register(
            "bound",
            pa.table(
                {
                    "start": pa.array([microseconds(one) for one in bounds[:-1]], pa.int64()),
                    "place": pa.array(range(len(bounds) - 1), pa.int64()),
                }
            ),
        )
        try:
            connection.execute(
                "CREATE TEMP TABLE active AS SELECT f.*, b.place FROM fitting f"
                " ASOF JOIN bound b ON f.t >= b.start"
            )
        finally:
            connection.unregister("bound")
        try:
            yield Calendar(tuple(bounds), _names(bounds, zone), as_of)
        finally:
            connection.execute("DROP TABLE active")
    finally:
        connection.execute("DROP TABLE fitting")


def _bounds(
    connection: duckdb.DuckDBPyConnection, unit: Unit, zone: str, as_of: datetime
) -> list[datetime]:
    """The intervals from the first event to now; one only, when there is no event."""
    [(first, last)] = connection.execute("SELECT min(t), max(t) FROM fitting").fetchall()
    if first is None:
        return starts(unit, zone, as_of, as_of)
    try:
        return starts(unit, zone, _EPOCH + timedelta(microseconds=first), max(as_of, _moment(last)))
    except ValueError as error:
        raise DefinitionInvalid(f"/unit: {error}") from error


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _names(bounds: Sequence[datetime], zone: str) -> tuple[str, ...]:
    place = ZoneInfo(zone)
    return tuple(one.astimezone(place).date().isoformat() for one in bounds[:-1])
