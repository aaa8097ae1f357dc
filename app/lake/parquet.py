"""Writes files of the lake: on the disk as a whole before they have their names."""

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from app.key_file import sync_folder

#: How DuckDB writes a file. It collects a group of rows before it writes it, and by their number
#: alone 13,200 events of 30 KB were one group: 1,230 MB of memory, bounded by bytes 390 MB. It
#: bounds by bytes only where it need not keep the order, which no reader asks for.
FORMAT = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '32MB')"
ENGINE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "preserve_insertion_order": False,
}


def write(path: Path, table: pa.Table) -> None:
    """Write a table."""
    scratch = path.with_suffix(".writing")
    pq.write_table(table, scratch, compression="zstd")
    name(scratch, path)


def merge(sources: Sequence[Path], target: Path) -> None:
    """Write what several files hold into one."""
    scratch = target.with_suffix(".writing")
    with duckdb.connect(config=ENGINE) as connection:
        connection.execute(
            f"COPY (SELECT * FROM read_parquet($files)) TO '{scratch}' {FORMAT}",  # noqa: S608  # our own name
            {"files": [str(path) for path in sources]},
        )
    name(scratch, target)


def name(scratch: Path, path: Path) -> None:
    """Give a file its name once it is on the disk: a listing outlives a loss of power."""
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    scratch.rename(path)
    sync_folder(path.parent)
