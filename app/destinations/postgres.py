"""A table of a PostgreSQL database, a warehouse: one row a person, there as long as it may be.

The table is made when it is missing, and a column for a field when it comes first. Who leaves,
withdraws or is erased is deleted; a record that comes again ends in the same row.
"""

import math
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, insert

from app import db
from app.destinations.kind import Kind, Options, Outcome, Record, Setup
from app.destinations.wire import NOT_TRIED, Wire

NAME = r"^[a-z_][a-z0-9_]{0,62}$"
#: Columns that every row has; a field may not be called so.
OWN: dict[str, sa.types.TypeEngine[Any]] = {
    "profile_id": sa.Uuid(),
    "identifiers": JSONB(),
    "segments": ARRAY(sa.Text()),
    "updated_at": TIMESTAMP(timezone=True),
}
LONGEST_NAME = 63
#: So long may one batch take, in seconds, where a database takes it and answers nothing any more.
LONGEST_SECONDS = 60.0
#: What is wrong with one record. All else (timeouts, deadlocks, lost connections) passes, and the
#: batch is tried again.
OF_THE_RECORD = (
    sa.exc.DataError, sa.exc.IntegrityError, sa.exc.NotSupportedError, sa.exc.ProgrammingError,
)  # fmt: skip


class PostgresSettings(Options):
    """Where the table is."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = Field(min_length=1, max_length=63)
    user: str = Field(min_length=1, max_length=63)
    tables: str = Field(
        default="parcours", pattern=NAME, description="The schema, which is made if missing."
    )
    table: str = Field(default="profiles", pattern=NAME, description="Likewise.")
    tls: bool = Field(default=True, description="Demand TLS, and a certificate for the host.")


class PostgresSecrets(Options):
    """What the database knows us by."""

    #: Of an empty one libpq would take another: PGPASSWORD, or one of the server's password file.
    password: str = Field(min_length=1, max_length=500)


class Postgres(Kind):
    """Rows of a PostgreSQL table."""

    name = "postgres"
    about = "A row for each person in a PostgreSQL table, made as needed, deleted with consent."
    settings = PostgresSettings
    secrets = PostgresSecrets
    places = frozenset({"host", "port", "database", "tables", "table"})
    own = frozenset(OWN)
    batch = 500

    def address(self, settings: Any) -> str:
        """Return the database, without who connects."""
        return f"postgresql://{settings.host}:{settings.port}/{settings.database}"

    def preview(self, setup: Setup, records: Sequence[Record]) -> list[Any]:
        """Return the rows, and the ids of those that go."""
        return [
            {"upsert": _row(r) | {"updated_at": r.occurred_at.isoformat()}}
            if r.intent == "hold"
            else {"delete": r.profile_id}
            for r in records
        ]

    def send(self, setup: Setup, records: Sequence[Record], wire: Wire) -> list[Outcome]:
        """Write the batch; a record that the table cannot take costs only itself."""
        try:
            with _connected(setup, wire) as connection:
                table = _table(connection, setup.settings)
                return [
                    Outcome("again", NOT_TRIED) if wire.late else _write(connection, table, record)
                    for record in records
                ]
        except (sa.exc.DBAPIError, httpx.HTTPError, OSError) as error:  # all of it is rolled back
            return [Outcome("again", _why(error))] * len(records)


@contextmanager
def _connected(setup: Setup, wire: Wire) -> Iterator[sa.Connection]:
    settings = setup.settings
    address = wire.address(settings.host, settings.port)
    url = sa.URL.create(
        "postgresql+psycopg",
        settings.user,
        setup.secrets.password,
        settings.host,
        settings.port,
        settings.database,
    )
    engine = sa.create_engine(
        url,
        poolclass=sa.NullPool,
        hide_parameters=True,
        connect_args={
            **({"hostaddr": address} if address else {}),
            "sslmode": "verify-full" if settings.tls else "prefer",
            **({"sslrootcert": "system"} if settings.tls else {}),
            "passfile": os.devnull,
            "connect_timeout": db.CONNECT_SECONDS,
            **db.LOST,
            "options": "-c timezone=UTC -c statement_timeout=20s -c lock_timeout=5s",
            "application_name": "parcours",
        },
    )
    with engine.begin() as connection, _cut_off(connection):
        yield connection


@contextmanager
def _cut_off(connection: sa.Connection) -> Iterator[None]:
    """Hang up when it takes too long: limits that the database itself keeps end with it."""
    number = connection.connection.dbapi_connection.fileno()  # type: ignore[union-attr]  # psycopg's
    with socket.socket(fileno=os.dup(number)) as line:
        timer = threading.Timer(LONGEST_SECONDS, line.shutdown, [socket.SHUT_RDWR])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _table(connection: sa.Connection, settings: Any) -> sa.Table:
    """Return the table with the columns it has, made where it is missing."""
    connection.execute(sa.schema.CreateSchema(settings.tables, if_not_exists=True))
    table = sa.Table(settings.table, sa.MetaData(schema=settings.tables))
    for name, kind in OWN.items():
        table.append_column(sa.Column(name, kind, primary_key=name == "profile_id", nullable=False))
    table.create(connection, checkfirst=True)
    return sa.Table(settings.table, sa.MetaData(schema=settings.tables), autoload_with=connection)


def _row(record: Record) -> dict[str, Any]:
    return {
        "profile_id": record.profile_id,
        "identifiers": {space: list(values) for space, values in record.identifiers.items()},
        "segments": sorted(record.segments),
        **record.fields,
    }


def _write(connection: sa.Connection, table: sa.Table, record: Record) -> Outcome:
    """Write one row or delete it, in a savepoint of its own."""
    if record.intent != "hold":
        gone = sa.delete(table).where(table.c.profile_id == record.profile_id)
        connection.execute(gone)
        return Outcome("taken", remote="")
    if wrong := [name for name in record.fields if not _usable(name)]:
        return Outcome("refused", f"field {wrong[0]}: no name for a column")
    try:
        with connection.begin_nested():
            missing = {
                name: value
                for name, value in record.fields.items()
                if name not in table.c and value is not None
            }
            for name, value in missing.items():
                _add(connection, table, name, _kind(value))
            row = {k: v for k, v in _row(record).items() if k in table.c}
            row["updated_at"] = record.occurred_at
            upsert = insert(table).values(row)
            changed = {k: upsert.excluded[k] for k in row if k != "profile_id"}
            connection.execute(
                upsert.on_conflict_do_update(index_elements=["profile_id"], set_=changed)
            )
    except sa.exc.StatementError as error:
        if isinstance(error, sa.exc.DBAPIError) and not isinstance(error, OF_THE_RECORD):
            raise
        return Outcome("refused", _why(error))
    return Outcome("taken", remote=record.profile_id)


def _usable(name: str) -> bool:
    return name not in OWN and 0 < len(name.encode()) <= LONGEST_NAME and "\0" not in name


def _kind(value: Any) -> sa.types.TypeEngine[Any]:
    """Return the type of the column for a value, which its later values must be of too."""
    if isinstance(value, bool):
        return sa.Boolean()
    if isinstance(value, int | float) and math.isfinite(value):
        return sa.Numeric()
    return JSONB() if isinstance(value, list | Mapping) else sa.Text()


def _add(
    connection: sa.Connection, table: sa.Table, name: str, kind: sa.types.TypeEngine[Any]
) -> None:
    quoted = connection.dialect.identifier_preparer.quote_identifier(name)
    where = connection.dialect.identifier_preparer.format_table(table)
    column = f"{quoted} {kind.compile(connection.dialect)}"
    connection.exec_driver_sql(f"ALTER TABLE {where} ADD COLUMN IF NOT EXISTS {column}")
    table.append_column(sa.Column(name, kind), replace_existing=True)


def _why(error: BaseException) -> str:
    """Say what the database found wrong, and nothing of what it was sent."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return f"{type(error).__name__}{f' {state}' if state else ''}"
