# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as tables, never as text.
"""Why two records are, or are not, said to be one person: weight by weight, without Splink.

DuckDB asks what Splink asks, and `weighing` weighs it as for Splink, so that requests and commands
can explain any pair in a second. tests/identity/test_waterfall.py holds both equal.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from identity import attributes, blocking
from identity.bars import of_evidence
from identity.blocking import Table, connect, prepare
from identity.known import Compared, ScoredPair
from identity.learnt import FREQUENCIES, Learnt, frequency_sql
from identity.likeness import BLOCKING, COMPARISONS, levels_of
from identity.mixture import Model
from identity.weighing import weigh


def compare(records: Table, pairs: Collection[tuple[int, int]], learnt: Learnt) -> list[Compared]:
    """Weigh pairs of records by what was learnt, whether or not a blocking rule proposes them.

    `records` is a table as `splink_model.score` takes it, of which `pairs` are (left, right) ids.
    """
    con = connect()
    try:
        return list(_compare(con, records, pairs, learnt))
    finally:
        con.close()


def table_of(fields: Mapping[int, Mapping[str, str]]) -> Table:
    """Return records as the table that is compared."""
    ids = sorted(fields)
    columns = {"record_id": pa.array(ids, pa.int64())}
    for name in attributes.FIELDS:
        columns[name] = pa.array([fields[i].get(name) for i in ids], pa.string())
    return pa.table(columns)


def likely(records: Iterable[Table], learnt: Learnt, threshold: float) -> list[ScoredPair]:
    """Return the pairs that blocking proposes and that reach a probability, by what was learnt.

    Everybody with everybody, as a whole run does but for its learning; `records` come by portions,
    as `candidates.every` yields them. 20,000 records take some seconds.
    """
    con = connect()
    try:
        for portion in records:
            blocking.add(con, portion)
        count = blocking.prepare(con, None, learnt.shared)
        blocking.key(con)
        blocking.block(con, blocking.limits(con, count))
        blocking.pair(con)
        con.execute(
            "create table wanted as select join_key_l as record_id_l, join_key_r as record_id_r"
            " from candidates"
        )
        known = Model.of(learnt.shares)
        _weigh_levels(con, known, learnt)
        return list(weigh(con, known, threshold))
    finally:
        con.close()


def _compare(
    con: duckdb.DuckDBPyConnection,
    records: Table,
    pairs: Collection[tuple[int, int]],
    learnt: Learnt,
) -> Iterable[Compared]:
    prepare(con, records, learnt.shared)
    wanted = sorted({(min(pair), max(pair)) for pair in pairs})
    given = pa.table(
        {
            "record_id_l": pa.array([left for left, _ in wanted], pa.int64()),
            "record_id_r": pa.array([right for _, right in wanted], pa.int64()),
        }
    )
    con.register("given", given)
    con.execute("create table wanted as select * from given")
    con.unregister("given")
    known = Model.of(learnt.shares)
    _weigh_levels(con, known, learnt)
    levels = _levels(con, known.present)
    rules = _shared_rules(con)
    for scored in weigh(con, known, 0.0):
        pair = scored.left, scored.right
        reached = levels[pair]
        fall = of_evidence(scored.evidence, reached, probability=scored.probability)
        yield Compared(*pair, fall, rules.get(pair, ()))


def _weigh_levels(con: duckdb.DuckDBPyConnection, known: Model, learnt: Learnt) -> None:
    """Write `pairs`, as `comparing.compare` has Splink do it, of the pairs in `wanted`."""
    for column in FREQUENCIES:
        names = learnt.names[column]
        con.register(
            "named",
            pa.table(
                {
                    "name": pa.array(list(names.frequencies), pa.string()),
                    "tf": pa.array(list(names.frequencies.values()), pa.float64()),
                }
            ),
        )
        con.execute(
            f"create table frequency_{column} as select distinct {column}, coalesce(tf,"
            f" {frequency_sql(column, '1', str(names.people))}) as tf_{column}"
            f" from people left join named on name = {column} where {column} is not null"
        )
        con.unregister("named")
    columns = [row[0] for row in con.execute("describe people").fetchall()]
    sides = ", ".join(
        f"{side}.{column} as {column}_{side}" for side in "lr" for column in columns
    )  # fmt: skip
    frequencies = "".join(
        f", {side}_{column}.tf_{column} as tf_{column}_{side}"
        for side in "lr"
        for column in FREQUENCIES
    )
    joins = "".join(
        f" left join frequency_{column} {side}_{column}"
        f" on {side}_{column}.{column} = {side}.{column}"
        for side in "lr"
        for column in FREQUENCIES
    )
    con.execute(
        f"create table sides as select {sides}{frequencies} from wanted"
        f" join people l on l.record_id = wanted.record_id_l"
        f" join people r on r.record_id = wanted.record_id_r{joins}"
    )
    gammas = ", ".join(f"{_gamma_sql(name)} as gamma_{name}" for name in known.present)
    weights = ", ".join(f"{_weight_sql(known, name)} as mw_{name}" for name in known.present)
    con.execute(
        f"create table pairs as select record_id_l, record_id_r, gammas.* exclude (record_id_l,"
        f" record_id_r, tfs), {weights} from (select record_id_l, record_id_r, {gammas},"
        f" {{{_frequencies()}}} as tfs from sides) gammas"
    )


def _frequencies() -> str:
    return ", ".join(
        f"'{column}': greatest(tf_{column}_l, tf_{column}_r)" for column in FREQUENCIES
    )  # fmt: skip


def _gamma_sql(name: str) -> str:
    """Number the level that a pair reaches, as Splink does: the best is the highest, -1 silent."""
    silent, levels = COMPARISONS[name]
    cases = " ".join(
        f"when {level.condition} then {len(levels) - 1 - i}"
        for i, level in enumerate(levels)
        if level.condition != "else"
    )
    return f"case when {silent} then -1 {cases} else 0 end"


def _weight_sql(known: Model, name: str) -> str:
    """Write the weight of a level: log2(m / u), and of a name what its frequency is beside u."""
    last = len(levels_of(name)) - 1
    cases = []
    for i, (level, u) in enumerate(zip(levels_of(name), known.u[name], strict=True)):
        weight = f"log2({level.m!r}::double / {u!r}::double)"
        if level.frequency:
            weight += f" + log2({u!r}::double / tfs['{level.frequency}'])"
        cases.append(f"when {last - i} then {weight}")
    return f"case gamma_{name} {' '.join(cases)} else 0.0 end"


def _levels(
    con: duckdb.DuckDBPyConnection, present: Sequence[str]
) -> dict[tuple[int, int], dict[str, str]]:
    gammas = ", ".join(f"gamma_{name}" for name in present)
    rows = con.execute(f"select record_id_l, record_id_r, {gammas} from pairs").fetchall()
    return {
        (left, right): {
            name: levels_of(name)[len(levels_of(name)) - 1 - gamma].label
            for name, gamma in zip(present, reached, strict=True)
            if gamma >= 0
        }
        for left, right, *reached in rows
    }


def _shared_rules(con: duckdb.DuckDBPyConnection) -> dict[tuple[int, int], tuple[str, ...]]:
    keys = ", ".join(f"({key}) as block_{name}" for name, key in BLOCKING.items())
    con.execute(f"create table keyed as select record_id, {keys} from people")
    alike = ", ".join(
        f"case when l.block_{name} = r.block_{name} then '{name}' end" for name in BLOCKING
    )
    rows: list[tuple[Any, ...]] = con.execute(
        f"select record_id_l, record_id_r, list_filter([{alike}], lambda name: name is not null)"
        " from wanted join keyed l on l.record_id = record_id_l"
        " join keyed r on r.record_id = record_id_r"
    ).fetchall()
    return {(left, right): tuple(names) for left, right, names in rows}
