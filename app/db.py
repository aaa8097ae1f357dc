"""The only door to psycopg: engine, sessions, COPY and the SQL files."""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql as psycopg_sql
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

Sessions = sessionmaker[Session]

#: So long may the database take to accept a connection.
CONNECT_SECONDS = 5
#: A database that vanishes without a word is noticed within some 20 seconds, and not after hours.
LOST = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
#: Errors that a value can cause: the row is at fault, not the server.
DataRefused = (sa.exc.DataError, sa.exc.IntegrityError)


#: Conditions of the server, by the first letters of the SQLSTATE (PostgreSQL, appendix A): it may
#: answer the same statement later. What is not here is the fault of the statement or its values.
CONDITIONS = {
    "53100": "the disk of the database is full",
    "53200": "the database is out of memory",
    "53300": "the database has too many connections",
    "53": "the database is out of resources",
    "25006": "the database takes no writes",
    "57P": "the database is starting or stopping",
    "57": "the database cancelled the work",
    "58": "the database cannot use its files",
    "40": "the database had to choose between two transactions",
    "55P03": "the database is busy with maintenance",
    "08": "the database cannot be reached",
}


def unavailable(error: BaseException) -> str | None:
    """Say why the database cannot work at this moment; None when an error is of another kind."""
    if isinstance(error, sa.exc.TimeoutError):
        return "all connections to the database are in use"
    if not isinstance(error, sa.exc.DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        lost = isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
        return "the database cannot be reached" if lost else None
    return next((why for start, why in CONDITIONS.items() if state.startswith(start)), None)


#: The SQLSTATE of a statement that was cancelled, as one is that takes too long.
CANCELLED = "57014"


@contextmanager
def limited(session: Session, seconds: float) -> Iterator[None]:
    """Have PostgreSQL cancel statements of this block that take longer."""
    limit = sa.text(
        "SELECT current_setting('statement_timeout') AS \"before\","
        " set_config('statement_timeout', :limit, true)"
    )
    before = session.execute(limit, {"limit": f"{seconds * 1000:.0f}"}).one().before
    yield
    session.execute(limit, {"limit": before})


@contextmanager
def for_many(session: Session) -> Iterator[None]:
    """Have PostgreSQL plan statements of this block for many rows, whose number it cannot guess.

    It joined who meets a condition with everybody row by row: 18 s for 50,000 people and a trait
    that 714 of them have.
    """
    before = session.execute(sa.text(_SETTINGS)).one()
    session.execute(sa.text(_SET), {"nestloop": "off", "memory": "256MB"})
    yield
    session.execute(sa.text(_SET), {"nestloop": before.nestloop, "memory": before.memory})


_SETTINGS = (
    "SELECT current_setting('enable_nestloop') AS nestloop, current_setting('work_mem') AS memory"
)
_SET = (
    "SELECT set_config('enable_nestloop', :nestloop, true), set_config('work_mem', :memory, true)"
)


def refused(error: sa.exc.DBAPIError, seconds: float) -> str | None:
    """Say why PostgreSQL does not answer a statement of somebody's making, within its limit.

    None where it cannot work at all, which is nobody's making.
    """
    if getattr(error.orig, "sqlstate", None) == CANCELLED:
        return f"took longer than {seconds:g} s"
    if unavailable(error) is not None:
        return None
    return f"PostgreSQL refuses ({_refusal(error)})"


def _refusal(error: sa.exc.DBAPIError) -> str:
    """Name what PostgreSQL refuses, without its message, which may hold what a person sent."""
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return type(error.orig).__name__
    try:
        return f"{psycopg.errors.lookup(state).__name__}, {state}"
    except KeyError:
        return str(state)


class Base(DeclarativeBase):
    """Tables of the schema `app`.

    SQLAlchemy maps `datetime` to a timestamp without zone and `int` to 32 bits unless told
    otherwise; both lose data here.
    """

    metadata = sa.MetaData(schema="app")
    type_annotation_map = {
        datetime: TIMESTAMP(timezone=True),
        int: sa.BigInteger,
        str: sa.Text,
    }


def engine(url: str, *, pool_size: int = 10, check: bool = True) -> sa.Engine:
    """Return an engine for a `postgresql://` address, in UTC, that checks its connections.

    JSON is written by `json.dumps` without escaping, so that what a client sent reads the same.
    Without `check` a connection that broke while idle fails its first statement, for who repeats
    the transaction then: it is one round trip less for each.
    """
    address = sa.make_url(url).set(drivername="postgresql+psycopg")
    made = sa.create_engine(
        address,
        pool_size=pool_size,
        max_overflow=10,
        pool_pre_ping=check,
        hide_parameters=True,  # an error must not say what a person sent
        json_serializer=lambda value: json.dumps(value, ensure_ascii=False),
        connect_args={
            "options": "-c timezone=UTC",
            "application_name": "parcours",
            "connect_timeout": CONNECT_SECONDS,
            **LOST,
        },
    )
    sa.event.listen(made, "handle_error", _let_go)
    return made


def _let_go(context: sa.ExceptionContext) -> None:
    """Close the cursor of a lost connection.

    SQLAlchemy 2 drops it as it is, and psycopg warns of each that reads row by row.
    """
    lost = context.execution_context
    if context.is_disconnect and lost is not None and lost.cursor is not None:
        lost.cursor.close()


def sessions(bind: sa.Engine) -> Sessions:
    """Return the maker of sessions: `with sessions.begin() as session` is one transaction."""
    return sessionmaker(bind, expire_on_commit=False)


@contextmanager
def snapshot(sessions: Sessions) -> Iterator[Session]:
    """Yield a session that sees one state of the database, whatever is written meanwhile."""
    with sessions() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield session


@contextmanager
def read_only(session: Session) -> Iterator[None]:
    """Have PostgreSQL refuse every write of this session for the length of the block."""
    with session.begin_nested():
        session.execute(sa.text("SET TRANSACTION READ ONLY"))
        yield


@cache
def statement(package: str, name: str) -> sa.TextClause:
    """Return the statement of `<package>/sql/<name>.sql`, with its named parameters."""
    text = (files(package) / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return sa.text(text)


def copy(
    session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """COPY rows into `schema.table` on the session's own connection, hence in its transaction."""
    schema, _, name = table.partition(".")
    command = psycopg_sql.SQL("COPY {} ({}) FROM STDIN").format(
        psycopg_sql.Identifier(schema, name),
        psycopg_sql.SQL(", ").join(map(psycopg_sql.Identifier, columns)),
    )
    connection = session.connection().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError("copy() needs a psycopg connection")
    with connection.cursor() as cursor, cursor.copy(command) as stream:
        for row in rows:
            stream.write_row(row)


def copy_csv(session: Session, table: str, columns: Sequence[str], lines: bytes) -> None:
    """COPY lines whose fields end in U+0002 and may be quoted in U+0001; empty is NULL."""
    schema, _, name = table.partition(".")
    command = psycopg_sql.SQL(
        "COPY {} ({}) FROM STDIN (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', ENCODING 'UTF8')"
    ).format(
        psycopg_sql.Identifier(schema, name),
        psycopg_sql.SQL(", ").join(map(psycopg_sql.Identifier, columns)),
    )
    connection = session.connection()
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError("copy_csv() needs a psycopg connection")
    try:
        with driver.cursor() as cursor, cursor.copy(command) as stream:
            stream.write(lines)
    except psycopg.Error as error:
        # As if SQLAlchemy had executed it; but never with the rows, which are personal data.
        raise sa.exc.DBAPIError.instance(
            f"COPY {table}", None, error, psycopg.Error, connection_invalidated=driver.broken
        ) from error


@contextmanager
def advisory_lock(session: Session, key: str, *, shared: bool = False) -> Iterator[bool]:
    """Say whether this transaction now holds the named lock; it is freed at its end.

    A `shared` one others may share; it keeps out only who wants it alone.
    """
    take = sa.func.pg_try_advisory_xact_lock_shared if shared else sa.func.pg_try_advisory_xact_lock
    yield bool(session.scalar(sa.select(take(sa.func.hashtextextended(key, 0)))))


@contextmanager
def session_locks(sessions: Sessions) -> Iterator[sa.Connection]:
    """Yield a connection, outside any transaction, of which no lock outlives the block.

    Locks of a session stay when a statement fails that took some of them, and the pool hands a
    connection on: so they are freed whatever happens, or end with the connection, which a failure
    to free them closes. That hides nothing that was done in the block.
    """
    bind: sa.Engine = sessions.kw["bind"]
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            yield connection
        finally:
            try:
                connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))
            except sa.exc.SQLAlchemyError:
                connection.invalidate()


@contextmanager
def exclusively(sessions: Sessions, key: str) -> Iterator[bool]:
    """Say whether this process now holds the named lock, outside any transaction.

    Held on a connection of its own for as long as the block runs; if the process dies, the
    server frees it.
    """
    with session_locks(sessions) as connection:
        lock = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
        yield bool(connection.scalar(lock, {"key": key}))


def outside_transaction(sessions: Sessions, commands: Iterable[str]) -> None:
    """Run commands that PostgreSQL refuses within a transaction, such as CREATE INDEX CONCURRENTLY.

    They are text of our own, never with values.
    """
    bind: sa.Engine = sessions.kw["bind"]
    with bind.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for command in commands:
            connection.execute(sa.text(command))


def listen(
    url: str, channel: str, stop: Callable[[], bool], wait: float
) -> Generator[str, None, None]:
    """Yield "" at once, the last payload of each burst of NOTIFYs, "" after `wait` quiet seconds.

    What came while the caller was busy is one burst: it has to look once, and not once for each.
    Ends when `stop()` is true or the connection breaks; the caller then looks for work anyway,
    so a lost notification costs `wait` seconds and never an event.
    """
    address = sa.make_url(url).set(drivername="postgresql")
    with psycopg.connect(
        address.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(psycopg_sql.SQL("LISTEN {}").format(psycopg_sql.Identifier(channel)))
        yield ""  # what was notified before anybody listened
        while not stop():
            heard = [n.payload for n in connection.notifies(timeout=wait, stop_after=1)]
            yield heard[-1] if heard else ""
