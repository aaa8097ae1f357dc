# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as tables, never as text.
"""Scores pairs of records that may be one person, and learns to: the model around Splink.

The model works untrained: what a match looks like (m) and what two people of one household look
like (h) ship as constants in `likeness`; what strangers look like (u), how noisy the fields are
and how many matches there are come from the data itself.

Splink's import costs 1.1 s and 114 MB: load this module in a worker, never in the API process.
"""

from collections.abc import Callable, Collection, Sequence

import duckdb
import pyarrow as pa

from identity.blocking import Table, block, connect, keys_sql, prepare, shared_values
from identity.comparing import compare
from identity.learnt import FREQUENCIES, Learnt, Names, frequency_sql
from identity.likeness import Model, Patterns, levels_of
from identity.weighing import ScoredPair, weigh

# All pairs of 1,000 records: half a million.
_SAMPLE_RECORDS = 1_000
# A name is as frequent as the people who bear it, not as their records. Nobody knows yet who is one
# person, but records of one name and one of these mostly are. It changes little: B-cubed +.0004 on
# fake_1000, +.0001 on pseudopeople, -.0002 on the Senzing truth set.
_ONE_PERSON = "coalesce(birth_date, national_id, email, phone, record_id::varchar)"
_ROUNDS = 12


def score(
    records: Table,
    *,
    threshold: float = 0.5,
    progress: Callable[[str], None] | None = None,
) -> list[ScoredPair]:
    """Return the pairs of records whose probability of being one person reaches the threshold.

    `records` is a pyarrow table of `record_id` (int64, unique) and `FIELDS` (string, nullable;
    those absent count as empty). Pairs come ordered by record ids and do not depend on the order
    of the rows. 60,000 records take 10 s and 0.6 GB. The connection is private and gets closed.
    Raises ValueError when record ids repeat or are missing.
    """
    return learn(records, threshold=threshold, progress=progress)[0]


def learn(
    records: Table,
    *,
    threshold: float = 0.5,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[ScoredPair], Learnt | None]:
    """Do what `score` does, and return as well what was learnt, for `score_new`.

    None where there is nothing to learn from.
    """
    tell = progress or (lambda _message: None)
    con = connect()
    try:
        present = prepare(con, records)
        if records.num_rows < 2 or not present:
            return [], None
        model = Model(present)
        _count_names(con)
        tell("learning what strangers look like")
        _learn_strangers(con, model)
        tell("comparing candidate pairs")
        block(con)
        compare(con, model, None)
        tell("weighing")
        _learn_matches(con, model, records.num_rows)
        return list(weigh(con, model, threshold)), _learnt(con, model, records.num_rows)
    finally:
        con.close()


def score_new(
    records: Table, new: Collection[int], learnt: Learnt, *, threshold: float = 0.5
) -> list[ScoredPair] | None:
    """Return the likely pairs of which one record or both are new, by what was learnt before.

    `records` are the new ones and those that share a blocking key with one of them; the cost is
    proportional to these. Weights are those that `learn` would have given with this model. None
    where the records say something of which nothing was learnt, such as the first birth dates:
    then contradictions would go unseen.
    """
    con = connect()
    try:
        present = prepare(con, records, learnt.shared)
        if records.num_rows < 2:
            return []
        if set(present) - learnt.shares.m.keys():
            return None
        model = Model.of(learnt.shares)
        con.register("given", pa.table({"record_id": pa.array(sorted(new), pa.int64())}))
        con.execute(
            f"create table keyed as select record_id, record_id in (from given) as is_new,"
            f" unnest({keys_sql()}) as key from people"
        )
        con.unregister("given")
        _know_names(con, learnt)
        con.execute(
            "create table candidates as select distinct l.record_id as join_key_l,"
            " r.record_id as join_key_r, '0' as match_key from keyed l join keyed r"
            " on l.key = r.key and l.record_id < r.record_id and (l.is_new or r.is_new)"
        )
        compare(con, model, "candidates")
        return list(weigh(con, model, threshold))
    finally:
        con.close()


def _learn_strangers(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """Learn u from all pairs of a sample of records, without the matches among them.

    Random pairs are contaminated: two random records with one e-mail are mostly one person, at any
    size of the data. So u is learnt by EM over agreement patterns, m and h held fixed.
    """
    con.execute(
        "create table sampled as select record_id from people"
        f" order by hash(record_id), record_id limit {_SAMPLE_RECORDS}"
    )
    con.execute(
        "create table sampled_pairs as select l.record_id as join_key_l, r.record_id as join_key_r,"
        " '0' as match_key from sampled l join sampled r on l.record_id < r.record_id"
    )
    compare(con, model, "sampled_pairs")
    patterns = _patterns(con, model.present)
    con.execute("drop table pairs")
    pairs = sum(count for *_, count in patterns)
    records = round((2 * pairs) ** 0.5)
    for _ in range(_ROUNDS):
        expected = model.expect(patterns)
        model.learn_strangers(expected)
        model.learn_shares(expected, pairs, records)


def _learn_matches(con: duckdb.DuckDBPyConnection, model: Model, records: int) -> None:
    """Learn m and the prior from the candidate pairs; all other pairs count as strangers."""
    patterns = _patterns(con, model.present)
    for _ in range(_ROUNDS):
        expected = model.expect(patterns)
        model.learn_matches(expected)
        model.learn_shares(expected, records * (records - 1) / 2, records)


def _patterns(con: duckdb.DuckDBPyConnection, present: Sequence[str]) -> Patterns:
    """Count the agreement patterns in `pairs`, in one order, so that sums are reproducible."""
    gammas = ", ".join(f"gamma_{name}" for name in present)
    sql = f"select {gammas}, half_bits, count(*) from pairs group by all order by all"
    patterns: Patterns = []
    for *reached, half_bits, count in con.execute(sql).fetchall():
        spoken = [
            (name, len(levels_of(name)) - 1 - gamma)
            for name, gamma in zip(present, reached, strict=True)
            if gamma >= 0
        ]
        patterns.append((spoken, 2.0 ** (-half_bits / 2), count))
    return patterns


def _count_names(con: duckdb.DuckDBPyConnection) -> None:
    """Write how frequent each name is among the people at hand."""
    for column in FREQUENCIES:
        con.execute(
            f"create table frequency_{column} as"
            f" with bearers as (select {column}, count(distinct {_ONE_PERSON}) as people"
            f" from people where {column} is not null group by 1)"
            f" select {column}, people,"
            f" {frequency_sql(column, 'people', '(select sum(people) from bearers)')}"
            f" as tf_{column} from bearers"
        )


def _know_names(con: duckdb.DuckDBPyConnection, learnt: Learnt) -> None:
    """Write how frequent each name was among those who were learnt from, or is among the new.

    Not among all at hand: who was found by a name bears it.
    """
    con.execute(
        "create table fresh as select * from people"
        " where record_id in (select record_id from keyed where is_new)"
    )
    total = "(select count(*) from fresh)"
    for column in FREQUENCIES:
        names = learnt.names[column]
        frequencies = {"name": list(names.frequencies), "tf": list(names.frequencies.values())}
        types = pa.schema([("name", pa.string()), ("tf", pa.float64())])
        con.register("known", pa.table(frequencies, schema=types))
        unseen = frequency_sql(column, "1", str(names.people))
        con.execute(
            f"create table frequency_{column} as select {column}, greatest("
            f"coalesce(any_value(tf), {unseen}),"
            f" {frequency_sql(column, 'max(coalesce(bearers, 1))', total)}) as tf_{column}"
            f" from people left join known on name = {column} left join (select {column} as borne,"
            f" count(*) as bearers from fresh group by 1) on borne = {column}"
            f" where {column} is not null group by 1"
        )
        con.unregister("known")


def _learnt(con: duckdb.DuckDBPyConnection, model: Model, records: int) -> Learnt:
    """Return what was learnt: of the names those that are more frequent than one never seen."""
    names = {}
    for column in FREQUENCIES:
        [(people,)] = con.execute(
            f"select coalesce(sum(people), 1)::bigint from frequency_{column}"
        ).fetchall()
        common = con.execute(
            f"select {column}, tf_{column} from frequency_{column}"
            f" where tf_{column} > {frequency_sql(column, '1', str(people))} order by 1"
        )
        names[column] = Names(people, dict(common.fetchall()))
    return Learnt(records, model.shares(), names, shared_values(con))
