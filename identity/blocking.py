# ruff: noqa: S608 -- the SQL is composed of this package's constants; values of records travel as
# tables, never as text.
"""Which records are compared at all: the table of people, and the keys that candidates share."""

from collections.abc import Collection, Mapping
from typing import Any

import duckdb

from identity.attributes import FIELDS
from identity.likeness import BLOCKING, COMPARISONS, NICKNAMES, PEOPLE

# A blocking rule yields at most ten pairs a record (and may yield 50,000 on small data).
_PAIRS_PER_RECORD = 10
_PAIRS_AT_LEAST = 50_000
# An e-mail, phone or number under more surnames than this is a placeholder or a switchboard.
_SHARED_BY = 4
#: The fields in which placeholders and switchboards stand.
SHARED_FIELDS = ("email", "phone", "national_id")
NOTHING: Mapping[str, Collection[int]] = {}
# pyarrow ships no types: mypy knows its module, but no class in it.
Table = Any


def connect() -> duckdb.DuckDBPyConnection:
    """Return a private database in memory, which draws no progress bar into the worker's log."""
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    return con


def prepare(
    con: duckdb.DuckDBPyConnection, records: Table, shared: Mapping[str, Collection[int]] = NOTHING
) -> list[str]:
    """Write `people`, the fields and what derives from them; return the comparisons that can speak.

    Written in the order of record ids, so that nothing later depends on the order of the rows.
    What placeholders and switchboards share says nothing and is left out: what these records show
    to be such, and what is known to be by `shared_values`.
    """
    ids = set(records.column("record_id").to_pylist()) - {None}
    if len(ids) != records.num_rows:
        raise ValueError("record_id must be present and unique")
    con.register("given", records)
    columns = ", ".join(
        f"nullif({f}::varchar, '') as {f}" if f in records.column_names else f"null::varchar as {f}"
        for f in FIELDS
    )
    con.execute(f"create table fields as select record_id, {columns} from given order by record_id")
    con.unregister("given")
    con.execute("create table shared (field varchar, value bigint)")
    for field in SHARED_FIELDS:
        con.execute(
            f"insert into shared select '{field}', {_mark(field)} from fields"
            f" where {field} is not null group by {field}"
            f" having count(distinct left(last_name, 2)) > {_SHARED_BY}"
            f" or count(distinct left(first_name, 2)) > 2 * {_SHARED_BY}"
        )
        con.execute("insert into shared select ?, unnest(?::bigint[])",
                    [field, list(shared.get(field, ()))])  # fmt: skip
        con.execute(
            f"update fields set {field} = null where {_mark(field)} in"
            f" (select value from shared where field = '{field}')"
        )
    con.execute("create table nicknames (name varchar, nick varchar)")
    con.executemany("insert into nicknames values (?, ?)", list(NICKNAMES.items()))
    con.execute(PEOPLE)
    speaks = {
        name: f"count({'coalesce(street, postcode, city)' if name == 'location' else name}) > 1"
        for name in COMPARISONS
    }
    counts = con.execute(f"select {', '.join(speaks.values())} from people").fetchall()[0]
    return [name for name, spoken in zip(speaks, counts, strict=True) if spoken]


def shared_values(con: duckdb.DuckDBPyConnection) -> dict[str, list[int]]:
    """Return what was left out as shared by many, as numbers that do not tell the value."""
    rows = con.execute("select distinct field, value from shared order by all").fetchall()
    return {field: [value for name, value in rows if name == field] for field in SHARED_FIELDS}


def _mark(column: str) -> str:
    return f"(md5_number_lower({column}) >> 1)::bigint"


def block(con: duckdb.DuckDBPyConnection) -> None:
    """Add one key column a blocking rule; values that would make too many pairs become null.

    Within a rule the rarest values are kept, up to ten pairs a record (at least 50,000): memory and
    time stay linear in the records, whatever is in them.
    """
    # Splink drags the columns of the rules along with every pair: eight bytes, not a string.
    keys = ", ".join(
        f"case when {key} is not null then hash({key}) end as block_{name}"
        for name, key in BLOCKING.items()
    )
    con.execute(
        f"create or replace table people as select *, {keys} from people order by record_id"
    )
    for name in BLOCKING:
        con.execute(
            f"""
            update people set block_{name} = null where block_{name} in (
                select value from (
                    select value, size, sum(pairs) over (order by size) as so_far from (
                        select block_{name} as value, count(*) as size,
                            count(*) * (count(*) - 1) / 2 as pairs
                        from people where block_{name} is not null group by 1
                    )
                ) where size > 1 and so_far > greatest(
                    {_PAIRS_AT_LEAST}, {_PAIRS_PER_RECORD} * (select count(*) from people)))
            """
        )


def blocking_keys(records: Table) -> dict[int, list[int]]:
    """Return the blocking keys of each record: those of two records that may match have one alike.

    They are numbers of 63 bits, the same for ever: an index over them finds whom a new record is
    to be compared with.
    """
    con = connect()
    try:
        prepare(con, records)
        rows = con.execute(f"select record_id, {keys_sql()} from people").fetchall()
        return {record_id: sorted(set(keys)) for record_id, keys in rows}
    finally:
        con.close()


def keys_sql() -> str:
    """Write the list of a record's blocking keys, without those it has no value for."""
    keys = ", ".join(
        f"(md5_number_lower('{name}|' || ({key})) >> 1)::bigint" for name, key in BLOCKING.items()
    )
    return f"list_filter([{keys}], lambda key: key is not null)"
