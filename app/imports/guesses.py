"""What the first rows of a file say of it, and what to say of one that says too little; pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.errors import ImportFailed
from app.imports.columns import Columns, called, when
from app.imports.dates import Order, Reader, order_of
from app.imports.messages import joined, of_day

#: What a message of the tracking API may be; a column of types that has another value is no such.
TYPES = frozenset({"track", "page", "screen", "identify", "group", "alias"})
#: Of so many rows or more it is asked whether each is a person.
SEVERAL = 10
#: Columns that an error names.
NAMED = 30

Rows = Sequence[Mapping[str, Any]]


def foreign(names: Collection[str], rows: Rows) -> list[str]:
    """Return the column of types that holds none of the tracking API's, if there is one."""
    column = called("type", names)
    said = {str(row[column]).lower() for row in rows if column in row} if column else set()
    return [column] if column and said and not said & TYPES else []


def order(columns: Columns, rows: Rows) -> Order | None:
    """Return whether day or month comes first in the times of a file, where its rows show it."""
    return order_of(_times(columns, rows))


def check_events(file: str, columns: Columns, rows: Rows, read: Reader, *, named: bool) -> None:
    """Refuse a file whose rows would all be refused, and say what is missing.

    `named` says that what happened is said beside the file. Raises ImportFailed.
    """
    fields, there = {*columns.fields.values()}, _listed(rows)
    if not columns.time:
        raise ImportFailed(
            f"{file}: no column says when it happened; name one with --time-column. Counts and"
            f" other rows without a time are no events. {there}"
        )
    if columns.event is None and not named and not fields & {"type", "name"}:
        raise ImportFailed(
            f"{file}: no column says what happened; name one with --event-column, or say it with"
            f" --event-name 'Order Completed'. {there}"
        )
    if columns.person is None and not fields & {"userId", "anonymousId", "groupId", "context"}:
        raise ImportFailed(
            f"{file}: no column says to whom it happened; name one with --id-column. {there}"
        )
    times = _times(columns, rows)
    faults = [found for found in map(read, times) if isinstance(found, str)]
    if faults and len(faults) == len(times):
        raise ImportFailed(f"{file}: the times in column {columns.time[0]!r} are {faults[0]}")


def check_people(file: str, names: Collection[str], rows: Rows, column: str | None) -> None:
    """Refuse a file that may have events, where nobody said that it has people.

    Raises ImportFailed.
    """
    time = when(names)
    if time is not None:
        raise ImportFailed(
            f"{file}: column {time!r} says when, and none says what happened: name one with"
            " --event-column, or say it with --event-name 'Order Completed'. If each row is a"
            " person, say --kind people"
        )
    if column is None:
        raise ImportFailed(
            f"{file}: no column names a person: name one with --id-column. If each row is an"
            " event, say --kind events, with --time-column and with --event-column or --event-name."
            f" {_listed(rows)}"
        )
    said = [str(row[column]) for row in rows if column in row]
    if len(said) >= SEVERAL and 2 * len({*said}) <= len(said):
        raise ImportFailed(
            f"{file}: {len(said)} rows have {len({*said})} different {column}: if each row is an"
            " event, say --kind events, with --time-column and with --event-column or --event-name."
            " If it is what is known of a person, say --kind people"
        )


def _times(columns: Columns, rows: Rows) -> list[Any]:
    """What rows say of when it was, those left out that do not say the day."""
    days = columns.time[: of_day(columns.time)]
    return [
        joined([row.get(one) for one in columns.time])
        for row in rows
        if days and all(row.get(one) is not None for one in days)
    ]


def _listed(rows: Rows) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    said = f"The columns are {', '.join(names[:NAMED])}{more}"
    if any(name.isdecimal() for name in names):
        said += "; if that is a row, say with --columns what they are called"
    return said
