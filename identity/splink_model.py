# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as tables, never as text.
"""Scores pairs of records that may be one person, and learns to: the model around Splink.

The model works untrained: what a match looks like (m) and what two people of one household look
like (h) ship as constants in `likeness`; what strangers look like (u), how noisy the fields are,
what households share and how many matches there are come from the data itself.

Splink's import costs 1.1 s and 114 MB: load this module in a worker, never in the API process.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from identity import blocking
from identity.blocking import Blocks, Table
from identity.comparing import Compare, Comparer, count_patterns, in_duckdb
from identity.known import ScoredPair
from identity.learnt import FREQUENCIES, Learnt, Names, frequency_sql, renewed_sql
from identity.likeness import CROSSED_ONCE, levels_of
from identity.mixture import Model, Patterns
from identity.weighing import can_reach, reaches, scored, weigh

# All pairs of 1,000 records: half a million.
_SAMPLE_RECORDS = 1_000
# A name is as frequent as the people who bear it, not as their records. Nobody knows yet who is one
# person, but records of one name and one of these mostly are. It changes little: B-cubed +.0004 on
# fake_1000, +.0001 on pseudopeople, -.0002 on the Senzing truth set.
_ONE_PERSON = "coalesce(birth_date, national_id, email, phone, record_id::varchar)"
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Found:
    """What came of comparing everybody, beside the table `scored`."""

    model: Model
    learnt: Learnt
    blocks: Blocks


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
    con = blocking.connect()
    try:
        blocking.add(con, records)
        found = compare_all(con, threshold=threshold, progress=progress)
        return ([], None) if found is None else (list(scored(con, found.model)), found.learnt)
    finally:
        blocking.close(con)


def compare_all(
    con: duckdb.DuckDBPyConnection,
    *,
    threshold: float,
    compare: Compare = in_duckdb,
    progress: Callable[[str], None] | None = None,
    by: Learnt | None = None,
) -> Found | None:
    """Compare all records that were added with each other, and learn from them; write `scored`.

    Or score them `by` what was learnt before, and learn nothing; but where they say something of
    which nothing was learnt then, it is learnt anew.

    What is held at once is bounded: pairs are compared some millions at a time, and of them those
    stay that can reach the threshold. None where there is nothing to learn from.
    """
    tell = progress or (lambda _message: None)
    records = blocking.prepare(con, None, by.shared if by else blocking.NOTHING)
    present = blocking.spoken(con)
    blocking.key(con)
    if records < 2 or not present:
        return None
    if by is not None and set(present) <= by.shares.m.keys():
        return _score_by(con, by, records, threshold, compare, tell)
    model = Model(present)
    _count_names(con)
    tell("learning what strangers look like")
    _learn_strangers(con, model)
    most = blocking.limits(con, records)
    blocks = blocking.block(con, most)
    compare(con, model, blocks, can_reach(model, records, threshold), tell)
    tell("weighing")
    _learn_matches(con, model, records)
    weigh(con, model, threshold)
    return Found(model, _learnt(con, model, records, most), blocks)


def _score_by(
    con: duckdb.DuckDBPyConnection,
    by: Learnt,
    records: int,
    threshold: float,
    compare: Compare,
    tell: Callable[[str], None],
) -> Found:
    model = Model.of(by.shares)
    con.execute("create table new (record_id bigint)")
    _know_names(con, by)
    blocks = blocking.block(con, blocking.limits(con, records))
    compare(con, model, blocks, reaches(model, threshold), tell)
    tell("weighing")
    weigh(con, model, threshold)
    return Found(model, by, blocks)


def score_new(
    records: Table,
    new: Collection[int],
    learnt: Learnt,
    usable: Collection[int],
    *,
    threshold: float = 0.5,
    again: Collection[tuple[int, int]] = (),
    within: Collection[int] = (),
) -> list[ScoredPair] | None:
    """Return the likely pairs of which one record or both are new, by what was learnt before.

    `records` are the new ones and those that share one of the `usable` blocking keys with one of
    them, or are in one of the pairs to be judged `again`, for which any key `within` the limits of
    a whole run is enough; the cost is proportional to these. Weights are those that `learn` would
    have given with this model. None where the records say something of which nothing was learnt,
    such as the first birth dates: then contradictions would go unseen.
    """
    con = blocking.connect()
    try:
        if blocking.prepare(con, records, learnt.shared) < 2:
            return []
        if set(blocking.spoken(con)) - learnt.shares.m.keys():
            return None
        model = Model.of(learnt.shares)
        con.execute("create table new (record_id bigint)")
        con.execute("create table used (key bigint)")
        for table, values in (("new", new), ("used", usable)):
            column = pa.array(sorted(values), pa.int64())
            con.register("given", pa.table({"value": column}))
            con.execute(f"insert into {table} select value from given")
            con.unregister("given")
        _know_names(con, learnt)
        blocking.key(con)
        con.execute(
            "create table usable as select record_id, key from keyed where key in (from used)"
        )
        blocking.meet_copies(con)
        blocking.pair(con, only_with="new")
        _pair_again(con, again, within)
        Comparer(con, model).compare("candidates")
        con.execute("alter table compared rename to pairs")
        return list(weigh(con, model, threshold))
    finally:
        blocking.close(con)


def _pair_again(
    con: duckdb.DuckDBPyConnection,
    pairs: Collection[tuple[int, int]],
    within: Collection[int],
) -> None:
    """Add pairs that were judged before to the candidates, if they share one of these keys."""
    if not pairs:
        return
    ends = zip(("l", "r"), zip(*sorted(pairs), strict=True), strict=True)
    con.register("judged", pa.table({side: pa.array(i, pa.int64()) for side, i in ends}))
    con.register("given", pa.table({"key": pa.array(sorted(within), pa.int64())}))
    con.execute(
        "insert into candidates select distinct j.l, j.r, '0' from judged j"
        " join keyed a on a.record_id = j.l join keyed b on b.record_id = j.r and b.key = a.key"
        " semi join given on given.key = a.key"
        " anti join candidates c on c.join_key_l = j.l and c.join_key_r = j.r"
    )
    con.unregister("judged")
    con.unregister("given")


def _learn_strangers(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """Learn u from all pairs of a sample of records, without the matches among them.

    Random pairs are contaminated: two random records with one e-mail are mostly one person, at any
    size of the data. So u is learnt by EM over agreement patterns, h held fixed. m is learnt along:
    in small data matches are many of the pairs.
    """
    con.execute(
        "create table sampled as select record_id from people"
        f" order by hash(record_id), record_id limit {_SAMPLE_RECORDS}"
    )
    con.execute(
        "create table sampled_pairs as select l.record_id as join_key_l, r.record_id as join_key_r,"
        " '0' as match_key from sampled l join sampled r on l.record_id < r.record_id"
    )
    Comparer(con, model).compare("sampled_pairs")
    count_patterns(con, model)
    patterns = _patterns(con, model.present)
    con.execute("drop table patterns")
    pairs = sum(count for *_, count in patterns)
    records = round((2 * pairs) ** 0.5)
    model.bound_swaps(_crossed(con))
    for _ in range(_ROUNDS):
        expected = model.expect(patterns)
        model.learn_strangers(expected)
        model.learn_matches(expected)
        model.learn_shares(expected, pairs, records)


def _crossed(con: duckdb.DuckDBPyConnection) -> float:
    """Return in which share of the sampled pairs one name is crossed, swapped pairs included."""
    [(share,)] = con.execute(
        f"select coalesce(avg(({CROSSED_ONCE})::int), 0) from (select"
        " l.first_name as first_name_l, l.last_name as last_name_l,"
        " r.first_name as first_name_r, r.last_name as last_name_r from sampled_pairs"
        " join people l on l.record_id = join_key_l join people r on r.record_id = join_key_r"
        " where l.last_name is not null and r.last_name is not null)"
    ).fetchall()
    return float(share)


def _learn_matches(con: duckdb.DuckDBPyConnection, model: Model, records: int) -> None:
    """Learn m, h and the priors from the candidate pairs; all other pairs count as strangers."""
    patterns = _patterns(con, model.present)
    for _ in range(_ROUNDS):
        expected = model.expect(patterns)
        model.learn_matches(expected)
        model.learn_homes(expected)
        model.learn_shares(expected, records * (records - 1) / 2, records)


def _patterns(con: duckdb.DuckDBPyConnection, present: Sequence[str]) -> Patterns:
    """Sum up the agreement patterns, in one order, so that sums are reproducible."""
    gammas = ", ".join(f"gamma_{name}" for name in present)
    sql = f"select {gammas}, half_bits, sum(n)::bigint from patterns group by all order by all"
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
    """Write how frequent each name is among those who were learnt from and the new together.

    As a whole run would find it, and not among all at hand: who was found by a name bears it. The
    first of the new to bear a name is mostly somebody who was known by it.
    """
    con.execute("create table fresh as from people where record_id in (from new)")
    total = "(select count(*) from fresh)"
    for column in FREQUENCIES:
        names = learnt.names[column]
        frequencies = {"name": list(names.frequencies), "tf": list(names.frequencies.values())}
        types = pa.schema([("name", pa.string()), ("tf", pa.float64())])
        con.register("known", pa.table(frequencies, schema=types))
        unseen = frequency_sql(column, "1", str(names.people))
        renewed = renewed_sql(
            f"coalesce(any_value(tf), {unseen})",
            names.people,
            "greatest(coalesce(max(bearers), 0) - 1, 0)",
            total,
        )
        con.execute(
            f"create table frequency_{column} as select {column}, {renewed} as tf_{column}"
            f" from people left join known on name = {column} left join (select {column} as borne,"
            f" count(distinct {_ONE_PERSON}) as bearers from fresh group by 1) on borne = {column}"
            f" where {column} is not null group by 1"
        )
        con.unregister("known")


def _learnt(
    con: duckdb.DuckDBPyConnection, model: Model, records: int, most: dict[str, int]
) -> Learnt:
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
    return Learnt(records, model.shares(), names, blocking.shared_values(con), most)
