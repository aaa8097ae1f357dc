# ruff: noqa: S608 -- the SQL is composed of this package's constants; values of records travel as
# tables, never as text.
"""Has Splink compare pairs of records; the only file that knows Splink.

Its import costs 1.1 s and 114 MB: load this module in a worker, never in the API process.
"""

import math
from collections.abc import Callable
from typing import Any

import duckdb
from splink import DuckDBAPI, Linker

from identity.blocking import Blocks, pair
from identity.learnt import FREQUENCIES
from identity.likeness import COMPARISONS
from identity.mixture import Model

#: Pairs that are compared at once: some 150 bytes each.
PAIRS_AT_ONCE = 4_000_000
#: Compares all pairs that the usable keys make, and leaves `pairs`, those that can reach the
#: threshold, and the agreement `patterns` of all.
Compare = Callable[[duckdb.DuckDBPyConnection, Model, Blocks, str, Callable[[str], None]], None]


class Comparer:
    """Splink with one model, over the records in `people`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, model: Model) -> None:
        """Take the frequencies of names from the tables `frequency_…`."""
        self._con, self._model = con, model
        self._api = DuckDBAPI(connection=con)
        self._linker = Linker(self._api.register("people"), settings_of(model), log_level=None)
        for column in FREQUENCIES:
            table = self._api.register(f"frequency_{column}")
            self._linker.table_management.register_term_frequency_lookup(table, column)

    def compare(self, candidates: str) -> None:
        """Let Splink compare the pairs of this table into `compared`, instead of those before.

        `compared` keeps the record ids and, per comparison, the level reached and its match weight.
        """
        pairs = self._api.register(candidates)
        self._linker.table_management.register_blocked_pairs_for_predict(pairs)
        predicted = self._linker.inference.predict(warning_mode="never")
        told = compared_sql(self._model)
        self._con.execute(
            f"create or replace table compared as select {told} from {predicted.physical_name}"
        )
        predicted.drop_table_from_database_and_remove_from_cache()


def in_duckdb(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    blocks: Blocks,
    can_reach: str,
    tell: Callable[[str], None],
) -> None:
    """Compare all candidate pairs here, some millions at a time."""
    comparer = Comparer(con, model)
    parts = max(1, math.ceil(blocks.pairs / PAIRS_AT_ONCE))
    for part in range(parts):
        tell(f"comparing candidate pairs: part {part + 1} of {parts}")
        pair(con, part, parts)
        comparer.compare("candidates")
        count_patterns(con, model)
        con.execute("create table if not exists pairs as from compared limit 0")
        con.execute(f"insert into pairs from compared where {can_reach}")
    for table in ("compared", "candidates"):
        con.execute(f"drop table {table}")


def count_patterns(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """Add the agreement patterns in `compared` to `patterns`, each with how often it occurs."""
    gammas = ", ".join(f"gamma_{name}" for name in model.present)
    counted = f"select {gammas}, half_bits, count(*) as n from compared group by all"
    con.execute(f"create table if not exists patterns as {counted} limit 0")
    con.execute(f"insert into patterns {counted}")


def compared_sql(model: Model) -> str:
    """Write what is kept of Splink's answer for a pair."""
    weights = "".join(f", gamma_{name}, {_weight_sql(name)} as mw_{name}" for name in model.present)
    rarity = " + ".join(f"mw_tf_adj_{name}" for name in model.present if _has_frequency(name))
    return f"record_id_l, record_id_r{weights}, round(2 * ({rarity or 0}))::int as half_bits"


def _has_frequency(name: str) -> bool:
    return any(level.frequency for level in COMPARISONS[name][1])


def _weight_sql(name: str) -> str:
    return f"mw_{name} + mw_tf_adj_{name}" if _has_frequency(name) else f"mw_{name}"


def settings_of(model: Model, sql: Callable[[str], str] = str) -> dict[str, Any]:
    """Write the model as Splink settings; `sql` writes a condition in another engine's SQL."""
    comparisons = []
    for name in model.present:
        silent, levels = COMPARISONS[name]
        rows: list[dict[str, Any]] = [{"sql_condition": sql(silent), "is_null_level": True}]
        for level, u in zip(levels, model.u[name], strict=True):
            row: dict[str, Any] = {
                "sql_condition": "else" if level.condition == "else" else sql(level.condition),
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
        "blocking_rules_to_generate_predictions": [],
        "retain_intermediate_calculation_columns": True,
        "retain_matching_columns": True,  # or there are no gammas
    }
