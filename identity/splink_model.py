# ruff: noqa: S608 -- the SQL is composed of this package's constants and of learnt numbers; values
# of records travel as tables, never as text.
"""Scores pairs of records that may be one person, with Splink; the only file that knows Splink.

The model works untrained: what a match looks like (m) and what two people of one household look
like (h) ship as constants in `likeness`; what strangers look like (u), how noisy the fields are
and how many matches there are come from the data itself.

Splink's import costs 1.1 s and 114 MB: load this module in a worker, never in the API process.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
from splink import DuckDBAPI, Linker

from identity.blocking import Table, block, connect, keys_sql, prepare, shared_values
from identity.likeness import BLOCKING, COMPARISONS, Model, Patterns, Shares, levels_of


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two records, how surely they are one person, and why.

    `weight` is the log2 of the odds and the sum of `evidence`, which holds one match weight per
    compared trait, the `prior` and the `household` discount. Record ids: left < right.
    """

    left: int
    right: int
    weight: float
    probability: float
    evidence: dict[str, float]


class Names(msgspec.Struct, frozen=True):
    """How frequent names are: of those that several people bear, and how many people there are."""

    people: int
    frequencies: dict[str, float]


class Learnt(msgspec.Struct, frozen=True):
    """What was learnt from many records, to score new ones by; of no single person."""

    records: int
    shares: Shares
    names: dict[str, Names]
    #: Values that placeholders and switchboards share, by field, as numbers.
    shared: dict[str, list[int]]


# All pairs of 1,000 records: half a million.
_SAMPLE_RECORDS = 1_000
# A rare name never counts as rarer than 1 in 10,000; on few records the shipped frequency rules.
_TF_LEAST = 1e-4
_TF_PSEUDO_RECORDS = 200.0
_FREQUENCIES = {"first_name": 0.004, "last_name": 0.002}
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
        _compare(con, model, None)
        tell("weighing")
        _learn_matches(con, model, records.num_rows)
        return list(_weigh(con, model, threshold)), _learnt(con, model, records.num_rows)
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
        _compare(con, model, "candidates")
        return list(_weigh(con, model, threshold))
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
    _compare(con, model, "sampled_pairs")
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
    for column in _FREQUENCIES:
        con.execute(
            f"create table frequency_{column} as"
            f" with bearers as (select {column}, count(distinct {_ONE_PERSON}) as people"
            f" from people where {column} is not null group by 1)"
            f" select {column}, people,"
            f" {_frequency_sql(column, 'people', '(select sum(people) from bearers)')}"
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
    for column in _FREQUENCIES:
        names = learnt.names[column]
        frequencies = {"name": list(names.frequencies), "tf": list(names.frequencies.values())}
        types = pa.schema([("name", pa.string()), ("tf", pa.float64())])
        con.register("known", pa.table(frequencies, schema=types))
        unseen = _frequency_sql(column, "1", str(names.people))
        con.execute(
            f"create table frequency_{column} as select {column}, greatest("
            f"coalesce(any_value(tf), {unseen}),"
            f" {_frequency_sql(column, 'max(coalesce(bearers, 1))', total)}) as tf_{column}"
            f" from people left join known on name = {column} left join (select {column} as borne,"
            f" count(*) as bearers from fresh group by 1) on borne = {column}"
            f" where {column} is not null group by 1"
        )
        con.unregister("known")


def _frequency_sql(column: str, people: str, total: str) -> str:
    return (
        f"greatest({_TF_LEAST}, ({people} - 1 + {_TF_PSEUDO_RECORDS} * {_FREQUENCIES[column]})"
        f" / ({total} - 1 + {_TF_PSEUDO_RECORDS}))"
    )


def _learnt(con: duckdb.DuckDBPyConnection, model: Model, records: int) -> Learnt:
    """Return what was learnt: of the names those that are more frequent than one never seen."""
    names = {}
    for column in _FREQUENCIES:
        [(people,)] = con.execute(
            f"select coalesce(sum(people), 1)::bigint from frequency_{column}"
        ).fetchall()
        common = con.execute(
            f"select {column}, tf_{column} from frequency_{column}"
            f" where tf_{column} > {_frequency_sql(column, '1', str(people))} order by 1"
        )
        names[column] = Names(people, dict(common.fetchall()))
    return Learnt(records, model.shares(), names, shared_values(con))


def _compare(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    candidates: str | None,
) -> None:
    """Let Splink compare the candidate pairs (by default those of the blocking rules) into `pairs`.

    `pairs` keeps the record ids and, per comparison, the level reached and its match weight.
    """
    api = DuckDBAPI(connection=con)
    settings = _settings(model, () if candidates else tuple(BLOCKING))
    linker = Linker(api.register("people"), settings, log_level=None)
    for column in _FREQUENCIES:
        table = api.register(f"frequency_{column}")
        linker.table_management.register_term_frequency_lookup(table, column)
    if candidates:
        linker.table_management.register_blocked_pairs_for_predict(api.register(candidates))
    predicted = linker.inference.predict(warning_mode="never")
    weights = ", ".join(f"gamma_{name}, {_weight_sql(name)} as mw_{name}" for name in model.present)
    rarity = " + ".join(f"mw_tf_adj_{name}" for name in model.present if _has_frequency(name))
    con.execute(
        f"create table pairs as select record_id_l, record_id_r, {weights},"
        f" round(2 * ({rarity or 0}))::int as half_bits from {predicted.physical_name}"
    )
    predicted.drop_table_from_database_and_remove_from_cache()


def _has_frequency(name: str) -> bool:
    return any(level.frequency for level in COMPARISONS[name][1])


def _weight_sql(name: str) -> str:
    return f"mw_{name} + mw_tf_adj_{name}" if _has_frequency(name) else f"mw_{name}"


def _settings(model: Model, rules: Sequence[str]) -> dict[str, Any]:
    """Write the model as Splink settings."""
    comparisons = []
    for name in model.present:
        silent, levels = COMPARISONS[name]
        rows: list[dict[str, Any]] = [{"sql_condition": silent, "is_null_level": True}]
        for level, u in zip(levels, model.u[name], strict=True):
            row: dict[str, Any] = {
                "sql_condition": level.condition,
                "label_for_charts": level.label,
                "m_probability": level.m,
                "u_probability": u,
            }
            if level.frequency:
                row["tf_adjustment_column"] = level.frequency
                row["disable_tf_exact_match_detection"] = True
            rows.append(row)
        comparisons.append({"output_column_name": name, "comparison_levels": rows})
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "record_id",
        "comparisons": comparisons,
        "blocking_rules_to_generate_predictions": [
            f"l.block_{name} = r.block_{name}" for name in rules
        ],
        "retain_intermediate_calculation_columns": True,
        "retain_matching_columns": True,
    }


def _weigh(con: duckdb.DuckDBPyConnection, model: Model, threshold: float) -> Iterator[ScoredPair]:
    """Turn comparison weights into probabilities: what was learnt, prior, household, threshold."""
    learnt = ", ".join(
        f"mw_{name} + {_learnt_sql(model, name)} as mw_{name}" for name in model.present
    )
    weight = " + ".join(f"mw_{name}" for name in model.present)
    home = " + ".join(_home_sql(model, name) for name in model.present)
    prior = math.log2(model.share / (1 - model.share))
    rows = con.execute(
        f"""
        select *, {prior!r}::double as prior, {prior!r}::double + weight + household as total from (
            select *, {weight} as weight, -log2(1 + {model.home_share / (1 - model.share)!r}
                * pow(2::double, {weight} + {home})) as household
            from (select * replace ({learnt}) from pairs))
        where total >= {_logit(threshold)} order by record_id_l, record_id_r
        """
    )
    names = [column[0] for column in rows.description]
    while batch := rows.fetchmany(10_000):
        for row in batch:
            yield _scored(dict(zip(names, row, strict=True)), model.present)


def _by_level(name: str, values: Sequence[float]) -> str:
    last = len(values) - 1
    cases = " ".join(f"when {last - i} then {value!r}::double" for i, value in enumerate(values))
    return f"case gamma_{name} {cases} else 0 end"


def _learnt_sql(model: Model, name: str) -> str:
    pairs = zip(model.m[name], levels_of(name), strict=True)
    return _by_level(name, [math.log2(m / level.m) for m, level in pairs])


def _home_sql(model: Model, name: str) -> str:
    pairs = zip(model.m[name], levels_of(name), strict=True)
    return _by_level(name, [math.log2(level.h / m) for m, level in pairs])


def _logit(probability: float) -> str:
    if 0 < probability < 1:
        return repr(math.log2(probability / (1 - probability)))
    return "-1e9" if probability <= 0 else "1e9"


def _scored(row: Mapping[str, Any], present: Sequence[str]) -> ScoredPair:
    evidence = {name: float(row[f"mw_{name}"]) for name in present if row[f"gamma_{name}"] >= 0}
    evidence |= {"prior": float(row["prior"]), "household": float(row["household"])}
    weight = float(row["total"])
    return ScoredPair(
        left=min(row["record_id_l"], row["record_id_r"]),
        right=max(row["record_id_l"], row["record_id_r"]),
        weight=weight,
        probability=1 / (1 + 2.0 ** min(-weight, 1000)),
        evidence=evidence,
    )
