"""Spark says what DuckDB says: the same pairs with the same weights, to a millionth of a bit."""

import importlib.util
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from benchmarks import crowd
from identity import blocking
from identity.blocking import Table
from identity.comparing import Compare, in_duckdb
from identity.known import ScoredPair
from identity.splink_model import compare_all
from identity.weighing import scored

pa: Any = pyarrow  # ships no types
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        importlib.util.find_spec("pyspark") is None,
        reason="NO SPARK: pip install --require-hashes -r requirements-spark.lock",
    ),
    pytest.mark.skipif(shutil.which("java") is None, reason="NO SPARK: it needs Java 17"),
    pytest.mark.filterwarnings("default"),  # Spark's own
]
#: Two executors, each a process of its own with a core and a gigabyte.
MASTER = "local-cluster[2,1,1024]"
PEOPLE = 50_000


@pytest.fixture
def spark_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Spark's own processes speak to each other on loopback."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")


def records(size: int) -> Table:
    """People as benchmarks have them, and names that only bytes and half transpositions tell."""
    dice = random.Random(4)  # noqa: S311 -- an invented population, no secret
    made = list(crowd.population(size, dice))
    for number in range(size // 10):
        said = made[number]
        name = list(said["last_name"])
        dice.shuffle(name)
        made.append({**said, "last_name": "".join(name), "first_name": f"й{said['first_name']}"})
        made.append({**said, "birth_date": said["birth_date"][:8] + "29", "address": "Ярославская"})
    columns: dict[str, Any] = {
        field: pa.array([row.get(field) for row in made], pa.string()) for field in made[0]
    }
    ids = pa.array(range(len(made)), pa.int64())
    return pa.table({"record_id": ids, **columns})


def pairs(table: Table, compare: Compare) -> dict[tuple[int, int], ScoredPair]:
    con = blocking.connect()
    try:
        blocking.add(con, table)
        found = compare_all(con, threshold=0.6, compare=compare)
        assert found is not None
        return {(pair.left, pair.right): pair for pair in scored(con, found.model)}
    finally:
        con.close()


@pytest.mark.usefixtures("spark_here")
def test_spark_links_whom_duckdb_links_and_says_why_alike(
    tmp_path: Path, record_property: Any
) -> None:
    from identity.spark import on_spark  # noqa: PLC0415 -- PySpark is an option

    table = records(PEOPLE)
    here = pairs(table, in_duckdb)
    there = pairs(table, on_spark(MASTER, tmp_path))
    assert here.keys() == there.keys()
    assert len(here) > PEOPLE // 5
    apart = max(abs(here[pair].weight - there[pair].weight) for pair in here)
    record_property("links", len(here))
    record_property("largest difference in match weight", apart)
    assert apart < 1e-6
    for pair, one in here.items():
        assert one.evidence == pytest.approx(there[pair].evidence, abs=1e-6)
