"""Histories to ask journey questions of: small ones written by hand, and a real bank's."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from app.imports.xes import XesEvent, read_xes
from app.journeys.predicate import microseconds
from tests.real_data import need

COLUMNS = {
    "person_id": "BIGINT",
    "event_id": "BIGINT",
    "type": "VARCHAR",
    "name": "VARCHAR",
    "source": "VARCHAR",
    "occurred_at": "BIGINT",
    "received_at": "BIGINT",
    "source_seq": "BIGINT",
    "properties": "VARCHAR",
    "context": "VARCHAR",
}

Row = Mapping[str, Any]
History = Callable[[Sequence[Row]], duckdb.DuckDBPyConnection]


def connect(columns: Mapping[str, Sequence[Any]]) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB whose view `event` shows the columns; times in microseconds."""
    connection = duckdb.connect(config={"threads": 2})
    lists = ", ".join(f"unnest(${name}::{kind}[]) AS {name}" for name, kind in COLUMNS.items())
    moments = ", ".join(f"make_timestamptz({at}) AS {at}" for at in ("occurred_at", "received_at"))
    connection.execute(
        # The column names are constants of this file; the values are bound.
        f"CREATE TABLE kept AS SELECT * REPLACE ({moments}) FROM (SELECT {lists})",  # noqa: S608 - see above
        {name: list(columns[name]) for name in COLUMNS},
    )
    connection.execute("CREATE VIEW event AS SELECT * FROM kept")
    return connection


@pytest.fixture(scope="session")
def history() -> History:
    """Build a connection from rows; what a row leaves out gets a plain default."""

    def build(rows: Sequence[Row]) -> duckdb.DuckDBPyConnection:
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for number, row in enumerate(rows):
            occurred = microseconds(row.get("occurred_at", datetime(2026, 1, 1, tzinfo=UTC)))
            full = {
                "person_id": 1,
                "event_id": number,
                "type": "track",
                "name": None,
                "source": "web",
                "source_seq": number,
                "properties": None,
                "context": None,
                **row,
                "occurred_at": occurred,
                "received_at": microseconds(row["received_at"])
                if "received_at" in row
                else occurred,
            }
            for name, values in columns.items():
                values.append(full[name])
        return connect(columns)

    return build


def bpic_columns(events: Sequence[XesEvent]) -> dict[str, Sequence[Any]]:
    """BPIC 2012 as events: one person per case, the place in the file as source_seq."""
    moments = [microseconds(event.timestamp) for event in events]
    return {
        "person_id": [int(event.case_id) for event in events],
        "event_id": range(len(events)),
        "type": ["track"] * len(events),
        "name": [event.name for event in events],
        "source": ["bpic2012"] * len(events),
        "occurred_at": moments,
        "received_at": moments,
        "source_seq": [event.position for event in events],
        "properties": [f'{{"lifecycle": "{event.lifecycle}"}}' for event in events],
        "context": [None] * len(events),
    }


@pytest.fixture(scope="session")
def bpic_events() -> list[XesEvent]:
    """The 262,200 events of the BPI Challenge 2012, in the order of the file."""
    return list(read_xes(need("data/journeys/bpic2012/bpic2012.xes.gz")))


@pytest.fixture(scope="session")
def bpic(bpic_events: list[XesEvent]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to BPIC 2012; read-only by convention."""
    connection = connect(bpic_columns(bpic_events))
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def bpic_shuffled(bpic_events: list[XesEvent]) -> Iterator[duckdb.DuckDBPyConnection]:
    """BPIC 2012 arriving in another order: rows and event ids say nothing of the file's order."""
    events = list(bpic_events)
    random.Random(2012).shuffle(events)  # noqa: S311 - a reproducible order, not a secret
    connection = connect(bpic_columns(events))
    yield connection
    connection.close()
