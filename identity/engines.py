"""Where pairs are compared: in this process by DuckDB, or on an Apache Spark cluster."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from identity.comparing import Compare, in_duckdb
from identity.reviews import SPARK


@contextmanager
def engine(parameters: Mapping[str, Any], scratch: Path | None) -> Iterator[Compare]:
    """Give what compares pairs as a run's parameters say; its exchange files go at the end.

    Raises ModuleNotFoundError where Spark is wanted and PySpark is not installed.
    """
    if parameters.get("engine") != SPARK:
        yield in_duckdb
        return
    from identity.spark import on_spark  # noqa: PLC0415 -- PySpark is an option

    where = parameters.get("exchange") or scratch
    exchange = Path(tempfile.mkdtemp(prefix="parcours-exchange-", dir=where))
    # Executors may run under another account: they read records and write pairs.
    exchange.chmod(0o700 if parameters["master"].startswith("local") else 0o770)
    try:
        yield on_spark(parameters["master"], exchange)
    finally:
        shutil.rmtree(exchange, ignore_errors=True)
