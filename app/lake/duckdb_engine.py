# ruff: noqa: S608 - only names of our own files become text
"""Opens the lake for one purpose: the events of people who allow it, as a view."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import pyarrow as pa
from sqlalchemy.orm import Session

from app.consents.everybody import Everybody
from app.errors import AnalysisTooLarge, LakeIncomplete
from app.lake import checks
from app.lake.basis import Basis, basis
from app.lake.kept import in_order
from app.lake.ordered import Ordered, attached
from app.lake.turns import engine


@dataclass(frozen=True)
class Lake:
    """An open lake: the connection, and who was left out of it for which reason."""

    connection: duckdb.DuckDBPyConnection
    excluded: Mapping[str, int]
    source: Callable[[], Ordered]

    @cached_property
    def ordered(self) -> Ordered:
        """Its events in the order of journeys."""
        return self.source()

    @cached_property
    def profiles(self) -> int:
        """How many people have events in it."""
        return self._count("count(DISTINCT person_id)")

    @cached_property
    def events(self) -> int:
        """How many events of theirs it has."""
        return self._count("count(*)")

    def _count(self, what: str) -> int:
        row = self.connection.execute(f"SELECT {what} FROM event").fetchone()
        return int(row[0]) if row else 0


@contextmanager
def open_lake(session: Session, directory: Path, purpose: str) -> Iterator[Lake]:
    """Yield the lake as seen for a purpose, by the people as they are resolved at this moment.

    The view `event` has one row per event of an identifier whose use is allowed now, with the
    person it belongs to now; merges, splits and withdrawals need no rewrite of any file. An event
    whose own stamp refused the purpose is never in it; `stamped_event` has it too, marked.
    """
    with opened(basis(session, directory, purpose), purpose) as lake:
        yield lake


@contextmanager
def opened(shown: Basis, purpose: str) -> Iterator[Lake]:
    """Yield the lake that a basis shows, as `open_lake` does.

    Raises AnalysisTooLarge where the block needs more memory than one analysis may take, and
    LakeIncomplete where a file is not there whole, or not as it was written.
    """
    checks.ensure(shown.checksums)
    try:
        with _opened(shown, purpose) as lake:
            yield lake
    except duckdb.OutOfMemoryException as error:
        raise AnalysisTooLarge(
            "ask for a shorter range or fewer labels, or have the operator raise"
            " PARCOURS_ANALYSES_MEMORY_BYTES"
        ) from error
    except duckdb.Error as error:
        if all([checks.sound(path, shown.checksums.get(path)) for path in shown.files]):
            raise
        raise LakeIncomplete("ask again in a moment") from error


@contextmanager
def _opened(shown: Basis, purpose: str) -> Iterator[Lake]:
    gone = pa.table({"event_id": pa.array(shown.removed, pa.int64())})
    beside = shown.files[0].parent if shown.files else None
    with engine(beside) as config, duckdb.connect(config=config) as connection:
        connection.register("person", _people(shown.people))
        connection.register("removed", gone)
        connection.execute("CREATE TABLE asked AS SELECT $1 AS purpose", [purpose])
        connection.execute(_view(shown.files, removed=bool(shown.removed)))
        connection.execute(
            "CREATE VIEW event AS SELECT * EXCLUDE (stamped) FROM stamped_event WHERE NOT stamped"
        )
        lake = Lake(connection, shown.people.excluded, lambda: in_order(connection, shown, purpose))
        with attached(connection, lambda: lake.ordered):
            yield lake


def _view(files: Sequence[Path], *, removed: bool) -> str:
    if not files:
        return (
            "CREATE VIEW stamped_event AS SELECT 0::BIGINT person_id, 0::BIGINT event_id,"
            " ''::VARCHAR type, ''::VARCHAR \"name\", ''::VARCHAR source,"
            " now()::TIMESTAMPTZ occurred_at,"
            " now()::TIMESTAMPTZ received_at, 0::BIGINT source_seq, ''::VARCHAR properties,"
            " ''::VARCHAR context, false AS stamped WHERE false"
        )
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    return (
        "CREATE VIEW stamped_event AS SELECT p.person_id, e.event_id, e.type, e.name, e.source,"
        " e.occurred_at, e.received_at, e.source_seq, e.properties, e.context,"
        " list_contains(e.refused, (SELECT purpose FROM asked))"
        # What is for one purpose alone begins with a mark (`app.events.alone`).
        " OR coalesce(e.refused[1] LIKE '!%'"
        " AND e.refused[1] <> '!' || (SELECT purpose FROM asked), false) AS stamped"
        f" FROM read_parquet([{listed}]) e"
        + (" ANTI JOIN removed ON removed.event_id = e.event_id" if removed else "")
        + " JOIN person p ON p.identifier_id = e.identifier_id"
    )


def _people(found: Everybody) -> pa.Table:
    return pa.table(
        {"identifier_id": pa.array(found.identifiers), "person_id": pa.array(found.people)}
    )
