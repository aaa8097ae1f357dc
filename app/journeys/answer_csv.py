"""The table of an answer as CSV (RFC 4180), for spreadsheets; pure."""

import csv
from collections.abc import Mapping
from io import StringIO
from typing import Any

from app.journeys.answer_rows import rows

MEDIA_TYPE = "text/csv; charset=utf-8"


def write(answer: Mapping[str, Any]) -> bytes:
    """Return the table, with its titles in the first line; nothing in it is a formula.

    It begins with the mark that tells spreadsheets that it is UTF-8 (RFC 3629), as French Excel
    needs.
    """
    table, out = rows(answer), StringIO()
    writer = csv.DictWriter(out, list(table[0]) if table else [])
    writer.writeheader()
    writer.writerows({k: _cell(v) for k, v in row.items()} for row in table)
    return out.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: names of events are what people sent.

    OWASP, "CSV Injection".
    """
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
