# ruff: noqa: S608 -- the SQL is composed of constants
"""Splink by itself on a file of records, as its tutorial does it: what a whole run is held against.

The same comparisons and blocking keys as the product's; Splink's own training, prediction and
clustering.
"""

import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from splink import DuckDBAPI, Linker

from identity import blocking
from identity.comparing import settings_of
from identity.likeness import BLOCKING
from identity.mixture import Model


def run(file: str, spill: str, megabytes: int) -> dict[str, Any]:
    """Do it here; return the seconds of each step, CPU, memory and what was found."""
    Path(spill).mkdir()
    con = blocking.connect(Path(spill), megabytes)
    started, worker = time.perf_counter(), time.process_time()
    steps: dict[str, float] = {}

    def done(step: str) -> None:
        steps[step] = time.perf_counter() - started - sum(steps.values())
        print(f"  {sum(steps.values()):7.1f} s  Splink alone: {step}", flush=True)

    for batch in pq.ParquetFile(file).iter_batches(100_000):
        blocking.add(con, batch)
    records = blocking.prepare(con)
    present = blocking.spoken(con)
    _keys(con, records)
    done("read")
    settings = settings_of(Model(present))
    settings["blocking_rules_to_generate_predictions"] = [
        f"l.block_{rule} = r.block_{rule}" for rule in BLOCKING
    ]
    settings["retain_matching_columns"] = False
    settings["retain_intermediate_calculation_columns"] = False
    settings["probability_two_random_records_match"] = 0.3 / records
    linker = Linker(DuckDBAPI(connection=con).register("people"), settings, log_level=None)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    done("u")
    for rule in ("l.block_street = r.block_street", "l.block_birth_date = r.block_birth_date"):
        linker.training.estimate_parameters_using_expectation_maximisation(
            rule, fix_u_probabilities=True
        )
    done("m")
    pairs = linker.inference.predict(threshold_match_probability=0.6, warning_mode="never")
    done("predict")
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(pairs, 0.95)
    [(found,)] = con.execute(f"select count(*) from {pairs.physical_name}").fetchall()
    [(people,)] = con.execute(
        f"select count(distinct cluster_id) from {clusters.physical_name}"
    ).fetchall()
    done("cluster")
    status = Path("/proc/self/status").read_text()
    return {
        "steps": steps, "seconds": sum(steps.values()), "cpu": time.process_time() - worker,
        "mb": int(status.split("VmHWM:")[1].split()[0]) // 1024, "pairs": found, "people": people,
    }  # fmt: skip


def line(alone: dict[str, Any]) -> str:
    """Say what it cost."""
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in alone["steps"].items())
    return (
        f"Splink alone{alone['seconds']:>8.1f} s ({steps}; CPU {alone['cpu']:.1f} s);"
        f" {alone['mb']:,} MB at most; {alone['pairs']:,} pairs, {alone['people']:,} people"
    )


def _keys(con: duckdb.DuckDBPyConnection, records: int) -> None:
    """Add a column for each blocking rule, with the keys that the product uses."""
    blocking.key(con)
    blocking.block(con, blocking.limits(con, records))
    columns = ", ".join(
        f"any_value(key) filter (rule = '{rule}') as block_{rule}" for rule in BLOCKING
    )
    con.execute(
        f"create table wide as select record_id, {columns} from keyed join usable"
        " using (record_id, key) group by 1"
    )
    con.execute("alter table people rename to bare")
    con.execute("create table people as select * from bare left join wide using (record_id)")
    for table in ("bare", "wide", "keyed", "usable"):
        con.execute(f"drop table {table}")
