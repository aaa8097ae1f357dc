"""The SQL files of identity, and how values are written for them: as one text, not one by one."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session


@cache
def statement(name: str) -> sa.TextClause:
    """Return the statement of `identity/sql/<name>.sql`."""
    return sa.text((files("identity") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))


def run(
    session: Session, name: str, values: Mapping[str, Any]
) -> sa.CursorResult[*tuple[Any, ...]]:
    """Execute the statement of `identity/sql/<name>.sql` in the session's transaction.

    On its connection: to ask the session, which looks for objects of its own, takes a fifth of the
    time of a small statement, and a merge is ten of them.
    """
    return session.connection().execute(statement(name), values)


def among(column: InstrumentedAttribute[int], ids: Collection[int]) -> sa.ColumnElement[bool]:
    """Say that a column is one of these ids, as one array.

    `column.in_(ids)` sends one parameter for each, and PostgreSQL takes at most 65,535: a device
    that more people share would stop whoever reads its component.
    """
    written = sa.literal(array(ids), sa.Text)
    return column == sa.any_(sa.cast(written, ARRAY(sa.BigInteger)))


def array(ids: Collection[int]) -> str:
    """Write ids, in order, as PostgreSQL writes a bigint[]: a statement casts it.

    A list that psycopg dumps element by element costs twice as much.
    """
    return "{" + ",".join(map(str, sorted(ids))) + "}"


def literal(values: Sequence[object]) -> str:
    """Write numbers, times or short plain texts as PostgreSQL writes an array; None is NULL.

    JSON's escapes of quotes and backslashes are those of arrays; other escapes are not.
    """
    return "{" + msgspec.json.encode(values).decode()[1:-1] + "}"


def rows_of(rows: Sequence[Mapping[str, Any] | msgspec.Struct]) -> str:
    """Write rows as the JSON that a statement reads with json_to_recordset."""
    return msgspec.json.encode(rows).decode()
