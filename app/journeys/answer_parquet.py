"""A table of an answer as Parquet; pure."""

import json
from io import BytesIO
from typing import Any

from app.journeys.answer_rows import Row

MEDIA_TYPE = "application/vnd.apache.parquet"


def write(table: list[Row]) -> bytes:
    """Return the table; a column whose values are of several kinds is text, as JSON has them.

    One without rows has a column, for most readers refuse a file of none.
    """
    # Arrow is 45 MB: loaded when a table is written.
    import pyarrow as pa  # noqa: PLC0415  # see above
    import pyarrow.parquet as pq  # noqa: PLC0415  # see above

    out = BytesIO()
    names = list(table[0]) if table else ["nothing"]
    columns = {name: _column([row[name] for row in table]) for name in names}
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def _column(values: list[Any]) -> Any:
    import pyarrow as pa  # noqa: PLC0415  # see above

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {int} and all(v is None or -(2**63) <= v < 2**63 for v in values):
        return pa.array(values, pa.int64())
    if kinds <= {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _text(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # A lone surrogate is in no UTF-8; JSON may hold one.
    return said.encode("utf-8", "replace").decode()
