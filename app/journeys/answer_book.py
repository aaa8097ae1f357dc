"""An answer as a workbook: a sheet for each of its tables; pure."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from app.journeys.answer_rows import Row
from app.journeys.answer_tables import ABOUT, MAIN, tables
from app.journeys.sheet_cells import LONGEST, widen, writable

#: The first sheet, whose figures whoever opens it looks for, and the last one.
TITLES = {MAIN: "Table", ABOUT: "Answer"}
#: Rows of a sheet: what is longer is had as CSV or Parquet.
MOST_ROWS = 100_000


def write(answer: Mapping[str, Any], most_rows: int = MOST_ROWS) -> bytes:
    """Return the workbook of an answer: text stays text, figures stay figures.

    A text that is longer than a cell can be (32,767 characters) is cut and ends with an ellipsis; a
    table of more rows than `most_rows` is, and its last row says so. An empty table has no sheet,
    nor one that is the main table again.
    """
    import openpyxl  # noqa: PLC0415  # it loads NumPy, which most servers never need

    # Written row by row: an answer of many rows is never in memory as cells.
    book = openpyxl.Workbook(write_only=True)
    found = tables(answer)
    for name, table in found.items():
        if name == MAIN or (table and table != found[MAIN]):
            _sheet(book, TITLES.get(name, name), table, most_rows)
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def _sheet(book: Any, title: str, table: list[Row], most: int) -> None:
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415  # see above
    from openpyxl.styles import Alignment, Font  # noqa: PLC0415  # see above

    sheet = book.create_sheet(title)
    top, bold = Alignment(wrap_text=True, vertical="top"), Font(bold=True)

    def cell(value: Any, *, heads: bool = False) -> Any:
        if isinstance(value, str):
            said = writable(value)
            value = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
        made = WriteOnlyCell(sheet, value)
        if isinstance(value, str):
            made.data_type = "s"  # "=1+1" too
        made.alignment = top
        if heads:
            made.font = bold
        return made

    columns = list(table[0]) if table else []
    about = title == TITLES[ABOUT]
    for number in range(1, len(columns) + 1):
        widen(sheet, number, (28, 80)[number - 1] if about else 20)
    if not about:
        sheet.freeze_panes = "A2"
        sheet.append([cell(name, heads=True) for name in columns])
    for row in table[:most]:
        values = list(row.values())
        sheet.append([cell(v, heads=about and k == 0) for k, v in enumerate(values)])
    if len(table) > most:
        sheet.append([cell(f"… {len(table) - most} more: as CSV or Parquet")])
