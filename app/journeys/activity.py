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
from app.journeys.calendars import MOST, Unit, shifted, starts
from app.journeys.funnel_request import TimeRange
from app.journeys.match import Match
from app.journeys.predicate import Parameters, known, microseconds, sql

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The place of what is before the first interval: the one right before no other.
LONG_BEFORE = -2


@dataclass(frozen=True, slots=True)
class Calendar:
    """The intervals of an answer: where each begins, and the names to show.

    The first `lead` of them are not shown: what is before them is in no interval. `earlier` is how
    many events are before those that are shown although no range leaves them out.
    """

    bounds: tuple[datetime, ...]
    names: tuple[str, ...]
    as_of: datetime
    lead: int
    earlier: int

    def complete(self, place: int) -> bool:
        """Say whether an interval is over; beyond the last one there is none that is."""
        return place + 1 < len(self.bounds) and self.bounds[place + 1] <= self.as_of

    def within(self, start: datetime | None, end: datetime | None) -> tuple[int, int]:
        """Return the first interval that meets [start, end), and the one after the last."""
        size = len(self.names)
        shown = range(self.lead, size)
        first = next((i for i in shown if start is None or self.bounds[i + 1] > start), size)
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
    range: TimeRange,
    after: int = 0,
    columns: Callable[[Parameters], Mapping[str, str]] = lambda _: {},
) -> Iterator[Calendar]:
    """Hold who did what when in a table of this connection, `active`, while the block runs.

    `active(person_id, t, place, …)`: a row for each event that fits a match, with a flag for each,
    the time in microseconds and the interval; and `columns`, SQL of our own over the event. The
    intervals are those from the first event to `as_of`; where these are more than MOST, the last
    ones of them, or those up to the range and so many `after` it. An event before the first has the
    place LONG_BEFORE, one after the last the place that follows. Raises DefinitionInvalid for a
    range of more than MOST intervals.
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
        try:
            bounds, lead = _bounds(connection, unit, zone, as_of, range, after)
        except OverflowError as error:
            raise DefinitionInvalid(f"/range: there are no such times in {zone}") from error
        # Of no event the one interval is empty: where it ends it begins.
        places = {microseconds(one): place for place, one in reversed(list(enumerate(bounds)))}
        connection.register(
            "bound",
            pa.table(
                {
                    "start": pa.array(list(places), pa.int64()),
                    "place": pa.array(list(places.values()), pa.int64()),
                }
            ),
        )
        try:
            connection.execute(
                f"CREATE TEMP TABLE active AS SELECT f.*, coalesce(b.place, {LONG_BEFORE}) AS place"
                " FROM fitting f ASOF LEFT JOIN bound b ON f.t >= b.start"
            )
        finally:
            connection.unregister("bound")
        try:
            earlier = 0
            if lead and range.start is None:
                [(earlier,)] = connection.execute(
                    f"SELECT count(*) FROM active WHERE place < {lead}"
                ).fetchall()
            yield Calendar(tuple(bounds), _names(bounds, zone), as_of, lead, earlier)
        finally:
            connection.execute("DROP TABLE active")
    finally:
        connection.execute("DROP TABLE fitting")


def _bounds(
    connection: duckdb.DuckDBPyConnection,
    unit: Unit,
    zone: str,
    as_of: datetime,
    range: TimeRange,
    after: int,
) -> tuple[list[datetime], int]:
    """Return where the intervals begin and the last one ends, and how many are not to be shown.

    One only, when there is no event. Nothing is computed of the time of an event that is earlier:
    whoever may write may say any.
    """
    [(first,)] = connection.execute("SELECT min(t) FROM fitting").fetchall()
    if first is None:
        return starts(unit, zone, as_of, as_of), 0
    until = as_of
    oldest = shifted(unit, zone, until, 1 - MOST)
    begin = first if range.start is None else max(first, microseconds(range.start))
    if range.end is not None and begin < microseconds(oldest):
        last = min(as_of, range.end - timedelta(microseconds=1))
        until = min(as_of, shifted(unit, zone, last, after))
        oldest = shifted(unit, zone, until, 1 - MOST)
    if range.start is not None and begin < microseconds(oldest):
        raise DefinitionInvalid(
            f"/unit: more than {MOST} intervals; ask for a shorter range or longer ones"
        )
    if first < microseconds(oldest):
        return starts(unit, zone, shifted(unit, zone, oldest, -1), until), 1
    return starts(unit, zone, _EPOCH + timedelta(microseconds=first), until), 0


def _names(bounds: Sequence[datetime], zone: str) -> tuple[str, ...]:
    place = ZoneInfo(zone)
    return tuple(one.astimezone(place).date().isoformat() for one in bounds[:-1])
