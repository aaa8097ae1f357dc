# ruff: noqa: S608 -- the SQL is composed of this package's constants; values of records travel as
# tables, never as text.
"""Has Splink compare pairs of records; the only file that knows Splink.

Its import costs 1.1 s and 114 MB: load this module in a worker, never in the API process.
"""

from collections.abc import Sequence
from typing import Any

import duckdb
from splink import DuckDBAPI, Linker

from identity.learnt import FREQUENCIES
from identity.likeness import BLOCKING, COMPARISONS, Model


def compare(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    candidates: str | None,
) -> None:
    """Let Splink compare the candidate pairs (by default those of the blocking rules) into `pairs`.

    `pairs` keeps the record ids and, per comparison, the level reached and its match weight.
    """
    api = DuckDBAPI(connection=con)
    settings = settings_of(model, () if candidates else tuple(BLOCKING))
    linker = Linker(api.register("people"), settings, log_level=None)
    for column in FREQUENCIES:
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


def settings_of(model: Model, rules: Sequence[str]) -> dict[str, Any]:
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
