"""`parcours identity evaluate --people`: a labelled file in, figures out, by a real server."""

import json
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from tests.end_to_end.product import COMMAND

pa: Any = pyarrow  # ships no types
pq: Any = parquet
PEOPLE = [
    ("Ada", "Lovelace", "1975-12-10", "ada@lovelace.example"),
    ("Grace", "Hopper", "1966-12-09", "grace@hopper.example"),
    ("Alan", "Turing", "1972-06-23", "alan@turing.example"),
    ("Emmy", "Noether", "1982-03-23", "emmy@noether.example"),
    ("Mary", "Jackson", "1991-04-09", "mary@jackson.example"),
]


def test_a_labelled_file_is_resolved_and_measured_with_every_record(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    rows = ["unique_id,first_name,last_name,dob,email,user_id,device_id,cluster"]
    number = 0
    for cluster, (first, last, born, email) in enumerate(PEOPLE):
        for copy in (f"{first},{last},{born},{email}", f"{first},{last},{born},"):
            rows.append(f"{number},{copy},,,{cluster}")
            number += 1
    rows.append(f"{number},,,,,u-7,phone-7,7")  # one person by the device alone
    rows.append(f"{number + 1},,,,,,phone-7,7")
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    done = subprocess.run(
        [COMMAND, "identity", "evaluate", "--people", file, "--sweep", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not accepted" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["records"], found["true_clusters"]) == (12, 6)
    assert found["precision"] == 1.0
    assert found["exact_clusters"] >= 1 / 6  # the two of the device
    assert len(found["calibration"]["deciles"]) == 10
    assert found["calibration"]["pairs"] >= 5
    assert found["calibration"]["band_low"] < 0.95 < found["calibration"]["band_high"]
    # The sweep resolves what the server has resolved: at the server's threshold it is the same.
    figures = ("records", "found_pairs", "predicted_pairs", "b3_f1", "exact_clusters")
    assert {f: found["sweep"]["0.95"][f] for f in figures} == {f: found[f] for f in figures}
    assert found["peak_mb"] > 50


def test_a_parquet_file_may_have_dates_decimals_and_numbers_that_are_none(tmp_path: Path) -> None:
    """As DuckDB and pandas write them, where JSON has no such values."""
    people = [one for one in PEOPLE for _ in range(2)]
    table = pa.table(
        {
            "unique_id": pa.array(range(len(people)), pa.int64()),
            "first_name": [one[0] for one in people],
            "last_name": [one[1] for one in people],
            "dob": pa.array([date.fromisoformat(one[2]) for one in people], pa.date32()),
            "income": pa.array([Decimal("1.50")] * len(people), pa.decimal128(9, 2)),
            "score": [float("nan")] * len(people),
            "seen": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * len(people)),
            "cluster": pa.array([float(n // 2) for n in range(len(people))]),
        }
    )
    file = tmp_path / "people.parquet"
    pq.write_table(table, file)
    done = subprocess.run(
        [COMMAND, "identity", "evaluate", "--people", file, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "refused" not in done.stderr
    found = json.loads(done.stdout)
    assert (found["records"], found["true_clusters"], found["f1"]) == (10, 5, 1.0)
