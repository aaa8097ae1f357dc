"""Answers as workbooks: figures are figures, and what people wrote is never a formula."""

from io import BytesIO
from typing import Any

import openpyxl
import pytest

from app.journeys import answer_book
from app.journeys.sheet_cells import LONGEST

HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")')


def book(names: Any, **more: Any) -> openpyxl.Workbook:
    steps = [{"name": name, "n": 7, "from_first": 0.5, "bucket": "step:1"} for name in names]
    answer = {
        "kind": "funnel",
        "query_id": "q_1",
        "semantics": {"order": "loose"},
        "warnings": ["=2+2"],
        "result": {"steps": steps, "breakdown": None},
        **more,
    }
    return openpyxl.load_workbook(BytesIO(answer_book.write(answer)))


def test_the_table_is_the_first_sheet_and_figures_are_numbers() -> None:
    found = book(["a", "b"])
    assert found.sheetnames == ["Table", "figures", "Answer"]
    rows = list(found["Table"].iter_rows(values_only=True))
    assert rows == [
        ("name", "n", "from_first", "bucket"),
        ("a", 7, 0.5, "step:1"),
        ("b", 7, 0.5, "step:1"),
    ]
    about = {row[0]: row[1] for row in found["Answer"].iter_rows(values_only=True)}
    assert about["query_id"] == "q_1"
    assert about["semantics.order"] == "loose"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_becomes_a_formula(name: str) -> None:
    found = book([name, "\x00\x1f\ufffe", "é 🎉"], query_id=name)
    cells = [cell for sheet in found for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    # A tab and a line end are what a cell may hold; the latter is read back as Excel writes it.
    assert found["Table"]["A2"].value in (name, name.replace("\r", "_x000D_"))
    assert found["Table"]["A4"].value == "é 🎉"


def test_a_text_too_long_for_a_cell_is_cut_and_says_so() -> None:
    [cell] = [cell for cell in book(["x" * 40_000])["Table"]["A"] if cell.row == 2]
    assert len(cell.value) == LONGEST
    assert cell.value.endswith("x…")


def test_an_answer_without_rows_is_a_book_too() -> None:
    assert book([])["Table"].max_row == 1


def test_a_table_of_more_rows_than_a_sheet_is_to_have_says_so() -> None:
    steps = [{"name": f"s{n}", "n": n} for n in range(7)]
    answer = {"kind": "funnel", "query_id": "q_1", "result": {"steps": steps, "breakdown": None}}
    found = openpyxl.load_workbook(BytesIO(answer_book.write(answer, most_rows=5)))
    told = [row[0] for row in found["Table"].iter_rows(min_row=2, values_only=True)]
    assert told == ["s0", "s1", "s2", "s3", "s4", "… 2 more: as CSV or Parquet"]
