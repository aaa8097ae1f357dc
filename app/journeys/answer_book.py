"""An answer as a workbook: its table, and what it was asked and computed over; pure."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from app.journeys.answer_rows import rows
from app.journeys.sheet_cells import LONGEST, put, widen, writable

#: The sheets: the figures first, for whoever opens it looks for these.
TABLE, ANSWER = "Table", "Answer"


def write(answer: Mapping[str, Any]) -> bytes:
    """Return the workbook of an answer: text stays text, figures stay figures.

    A list that is longer than a cell can be (32,767 characters) is cut and ends with an ellipsis.
    """
    import openpyxl  # noqa: PLC0415  # it loads NumPy, which most servers never need

    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.title = TABLE
    table = rows(answer)
    for column, title in enumerate(table[0] if table else (), 1):
        widen(sheet, column, 20)
        put(sheet, 1, column, _text(title), bold=True)
        for row, one in enumerate(table, 2):
            put(sheet, row, column, _text(one[title]))
    sheet.freeze_panes = "A2"
    about = book.create_sheet(ANSWER)
    widen(about, 1, 28)
    widen(about, 2, 80)
    for row, (name, value) in enumerate(_about(answer), 1):
        put(about, row, 1, _text(name), bold=True)
        put(about, row, 2, _text(value))
    out = BytesIO()
    book.save(out)
    return out.getvalue()


def _about(answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything of the envelope but the result, whose table is the other sheet."""
    for name, value in answer.items():
        if name == "result":
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", each) for inner, each in value.items())
        else:
            yield name, value


def _text(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    said = writable(value)
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
