# ruff: noqa: S608 -- the SQL is composed of this package's constants; values of records travel as
# tables, never as text.
"""Which records are compared at all: the table of people, and the keys that candidates share."""

import gc
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from identity.attributes import FIELDS
from identity.likeness import BLOCKING, COMPARISONS, IDENTICAL, PEOPLE
from identity.nicknames import NICKNAMES

#: A key that more records share finds nobody: it says little, and true pairs share others.
MOST_SHARING = 200
# Of each rule the keys that the fewest share are used, up to ten pairs a record (50,000 at least):
# memory and time stay linear in the records, whatever is in them.
_PAIRS_PER_RECORD = 10
#: The rule of records that say the same in all. However many there are, each is compared with the
#: oldest of them, so that a crowd of one person's copies hangs together: with three, so that it
#: still does when one of these says something else.
ALIKE = "identical"
OLDEST = 3
#: So many of each rule are never too many.
PAIRS_AT_LEAST = 50_000
# An e-mail, phone or number under more surnames than this is a placeholder or a switchboard.
_SHARED_BY = 4
#: The fields in which placeholders and switchboards stand.
SHARED_FIELDS = ("email", "phone", "national_id")
NOTHING: Mapping[str, Collection[int]] = {}
# pyarrow ships no types: mypy knows its module, but no class in it.
Table = Any


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Of a rule: from more than how many records on a key was left out, how many, of how many."""

    most: int
    keys: int
    records: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """How many pairs the keys make, repetitions included, and which keys were left out.

    `alone` are records that are compared with nobody because all that they share was left out.
    """

    pairs: int
    left_out: dict[str, LeftOut]
    alone: int


def connect(spill: Path | None = None, megabytes: int | None = None) -> duckdb.DuckDBPyConnection:
    """Return a private database in memory, which draws no progress bar into the worker's log.

    What exceeds so many megabytes goes into files under `spill` until the connection closes.
    """
    con = duckdb.connect()
    con.execute("set enable_progress_bar = false")
    if spill is not None:
        con.execute("set temp_directory = $1", [str(spill)])
    if megabytes is not None:
        con.execute("set memory_limit = $1", [f"{megabytes}MB"])
    columns = ", ".join(f"{field} varchar" for field in FIELDS)
    con.execute(f"create table fields (record_id bigint, {columns})")
    return con


def close(con: duckdb.DuckDBPyConnection) -> None:
    """End a private database: what it holds in memory, its threads and its files.

    Splink's objects refer to each other and to what was asked of the connection. So they stay until
    the garbage collector comes by, and the database with them: in a worker that hardly ever was.
    Thirteen whole runs in 25 minutes left 101 threads.
    """
    con.close()
    gc.collect()


def add(con: duckdb.DuckDBPyConnection, records: Table) -> None:
    """Take some records in: `record_id`, and `FIELDS` as columns or a JSON object `fields`."""
    con.register("given", records)
    if "fields" in records.column_names:
        names = [f"nullif(said.{f}, '')" for f in FIELDS]
        shape = json.dumps(dict.fromkeys(FIELDS, "VARCHAR"))
        source = f"(select record_id, from_json(fields, '{shape}') as said from given)"
    else:
        known = records.column_names
        names = [f"nullif({f}::varchar, '')" if f in known else "null" for f in FIELDS]
        source = "given"
    con.execute(f"insert into fields select record_id, {', '.join(names)} from {source}")
    con.unregister("given")


def prepare(
    con: duckdb.DuckDBPyConnection,
    records: Table | None = None,
    shared: Mapping[str, Collection[int]] = NOTHING,
) -> int:
    """Write `people`, the fields of all records and what derives from them; return how many.

    Of `records`, and of those that were added before. Written in the order of record ids, so that
    nothing later depends on the order of the rows. What placeholders and switchboards share says
    nothing and is left out: what these records show to be such, and what is known to be by
    `shared_values`. Raises ValueError when record ids repeat or are missing.
    """
    if records is not None:
        add(con, records)
    [(count, different)] = con.execute(
        "select count(*), count(distinct record_id) from fields"
    ).fetchall()
    if different != count:
        raise ValueError("record_id must be present and unique")
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
    con.execute("create table nicknames (name varchar, nick varchar, nicks varchar)")
    con.executemany(
        "insert into nicknames values (?, ?, ?)",
        [(pet, names[0], "|".join([pet, *names])) for pet, names in NICKNAMES.items()],
    )
    con.execute(PEOPLE)
    con.execute("drop table fields")
    return int(count)


def spoken(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the comparisons that can speak: of which two records at least say something."""
    speaks = {name: f"count({'street' if name == 'address' else name}) > 1" for name in COMPARISONS}
    speaks["birth_year"] += " and count(birth_year) > count(birth_date)"
    counts = con.execute(f"select {', '.join(speaks.values())} from people").fetchall()[0]
    return [name for name, some in zip(speaks, counts, strict=True) if some]


def shared_values(con: duckdb.DuckDBPyConnection) -> dict[str, list[int]]:
    """Return what was left out as shared by many, as numbers that do not tell the value."""
    rows = con.execute("select distinct field, value from shared order by all").fetchall()
    return {field: [value for name, value in rows if name == field] for field in SHARED_FIELDS}


def _mark(column: str) -> str:
    return f"(md5_number_lower({column}) >> 1)::bigint"


def key(con: duckdb.DuckDBPyConnection) -> None:
    """Write `keyed`: the blocking keys of each record, and the rule that each is of.

    They are numbers of 63 bits, the same for ever: an index over them finds whom a new record is
    to be compared with.
    """
    rules = {**BLOCKING, ALIKE: IDENTICAL}
    keys = ", ".join(
        f"(md5_number_lower('{name}|' || ({key})) >> 1)::bigint" for name, key in rules.items()
    )
    con.execute(
        f"create table keyed as select record_id, rule, key from (select record_id,"
        f" unnest({list(rules)}) as rule, unnest([{keys}]) as key from people)"
        " where key is not null"
    )


def limits(con: duckdb.DuckDBPyConnection, records: int) -> dict[str, int]:
    """Return for each rule how many records may share a key for it to be used.

    The keys that the fewest share come first, as long as their pairs are few enough.
    """
    rows = con.execute(
        f"""
        select rule, min(size) filter (so_far > greatest({PAIRS_AT_LEAST},
                                                         {_PAIRS_PER_RECORD} * {records})) - 1
        from (select rule, size, sum(n * size * (size - 1) / 2)
                  over (partition by rule order by size) as so_far
              from (select rule, size, count(*) as n
                    from (select rule, count(*) as size from keyed group by rule, key)
                    group by all))
        group by rule
        """
    ).fetchall()
    found = {rule: MOST_SHARING if most is None else most for rule, most in rows}
    return {rule: max(1, min(MOST_SHARING, found.get(rule, MOST_SHARING))) for rule in BLOCKING}


def block(con: duckdb.DuckDBPyConnection, most: Mapping[str, int]) -> Blocks:
    """Write `usable`: the keys that two records share and not too many; say what was left out."""
    con.execute("create table most (rule varchar, most bigint)")
    con.executemany("insert into most values (?, ?)", list(most.items()))
    con.execute(
        "create table sizes as select rule, key, count(*) as size from keyed group by all"
        " having count(*) > 1"
    )
    con.execute(
        "create table usable as select record_id, key from keyed join sizes using (rule, key)"
        " join most using (rule) where size <= most"
    )
    left_out = con.execute(
        "select rule, any_value(most), count(*), sum(size)::bigint"
        " from sizes join most using (rule) where size > most group by rule order by rule"
    ).fetchall()
    [(pairs,)] = con.execute(
        "select coalesce(sum(size * (size - 1) / 2), 0)::bigint from sizes join most using (rule)"
        " where size <= most"
    ).fetchall()
    pairs += meet_copies(con)
    [(alone,)] = con.execute(
        "select count(*) from (select record_id from keyed join sizes using (rule, key)"
        " join most using (rule) where size > most except select record_id from usable)"
    ).fetchall()
    con.execute("drop table sizes")
    return Blocks(pairs, {rule: LeftOut(*told) for rule, *told in left_out}, alone)


def meet_copies(con: duckdb.DuckDBPyConnection) -> int:
    """Add to `usable` a key for each record and each of the oldest that say just the same."""
    [(rows,)] = con.execute(
        f"""
        insert into usable
        with copies as (
            select record_id, key, row_number() over (partition by key order by record_id) as place
            from keyed semi join (select key from keyed where rule = '{ALIKE}' group by key
                                  having count(*) > 1) using (key)
            where rule = '{ALIKE}'
        )
        select unnest([l.record_id, r.record_id]), (hash(l.record_id, r.record_id) >> 1)::bigint
        from copies l join copies r using (key)
        where l.place <= {OLDEST} and l.record_id < r.record_id
        """
    ).fetchall()
    return int(rows) // 2


def pair(
    con: duckdb.DuckDBPyConnection, part: int = 0, parts: int = 1, *, only_with: str | None = None
) -> None:
    """Write `candidates`: the pairs of records that share a usable key, or one part of them.

    With a table of record ids, only those pairs that have one of these in them.
    """
    left = f" and hash(l.record_id) % {parts} = {part}" if parts > 1 else ""
    if only_with:
        left += f" and (l.record_id in (from {only_with}) or r.record_id in (from {only_with}))"
    con.execute(
        "create or replace table candidates as select distinct l.record_id as join_key_l,"
        " r.record_id as join_key_r, '0' as match_key from usable l join usable r"
        f" on l.key = r.key and l.record_id < r.record_id{left}"
    )


def keys_of(records: Table) -> list[tuple[int, str, int]]:
    """Return the blocking keys of some records, as (record, rule, key)."""
    con = connect()
    try:
        prepare(con, records)
        key(con)
        return con.execute("from keyed order by all").fetchall()
    finally:
        con.close()
