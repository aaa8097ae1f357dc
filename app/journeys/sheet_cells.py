"""Cells of workbooks (XLSX, ISO/IEC 29500) in which text stays text; pure.

What begins with = is no formula, and what XML cannot hold is written as Excel does, _x0001_.
"""

import re
from typing import TYPE_CHECKING, Any

# openpyxl is loaded when a sheet is written: it loads NumPy, which most servers never need.
if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: Excel takes no more characters in a cell.
LONGEST = 32_767
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_WRITTEN = re.compile(r"_x([0-9A-Fa-f]{4})_")


def writable(value: str) -> str:
    """Return a text as a cell holds it; it may be longer than one can be."""
    return _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", value)


def written(value: str) -> str:
    """Return the text that a cell holds."""
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), value)


def put(sheet: "Worksheet", row: int, column: int, value: Any, *, bold: bool = False) -> None:
    """Write a number, a yes or no, or a text that is writable; None leaves the cell empty."""
    from openpyxl.styles import Alignment, Font  # noqa: PLC0415  # see above

    if value is None:
        return
    cell = sheet.cell(row, column, value)
    if isinstance(value, str):
        cell.data_type = "s"  # "=1+1" too
    cell.font = Font(bold=bold)
    cell.alignment = Alignment(wrap_text=True, vertical="top")


def widen(sheet: "Worksheet", column: int, width: int) -> None:
    """Give a column a width, in characters."""
    from openpyxl.utils import get_column_letter  # noqa: PLC0415  # see above

    sheet.column_dimensions[get_column_letter(column)].width = width
