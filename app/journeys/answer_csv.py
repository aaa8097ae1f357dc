"""A table of an answer as CSV (RFC 4180), for spreadsheets; pure."""

import csv
from io import StringIO
from typing import Any

from app.journeys.answer_rows import Row

MEDIA_TYPE = "text/csv; charset=utf-8"
#: What spreadsheets take for the beginning of a formula (OWASP, "CSV Injection"): of wide letters
#: too, and what is looked past on the way to one.
_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write(table: list[Row]) -> bytes:
    """Return the table, with its titles in the first line; nothing in it is a formula.

    It begins with the mark that tells spreadsheets that it is UTF-8 (RFC 3629), as French Excel
    needs.
    """
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(name) for name in (table[0] if table else ())])
    writer.writerows([_cell(value) for value in row.values()] for row in table)
    return out.getvalue().encode("utf-8-sig", "replace")


def _cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; people choose names of events."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS) else value
