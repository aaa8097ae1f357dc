"""Every kind of answer as tables and pictures: all its values, and no formula among them."""

import csv
import json
import math
import re
from collections.abc import Iterator
from io import BytesIO, StringIO
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from app.journeys import answer_book, answer_csv, answer_parquet, answer_png, pictures
from app.journeys.answer_tables import tables
from app.journeys.kinds import KINDS
from tests.app.journeys.every_answer import HISTORY, History, answers

EVERY = sorted(KINDS)
#: Of these there is no picture: they are sentences.
UNDRAWN = ("findings", "readiness")
#: The lists of each kind that must have rows here, so that a test of them says something.
LISTS = {
    "attribution": {"channels"},
    "anomalies": {"points", "points.contributors"},
    "compare": {"alignments", "alignments.outcomes", "alignments.amounts", "alignments.pairs",
                "alignments.pairs.tests"},
    "conformance": {"deviations"},
    "drivers": {"drivers"},
    "drop-off": {"stages", "places", "switches"},
    "findings": {"findings", "looked"},
    "friction": {"touchpoints", "touchpoints.components", "disagreements", "transitions",
                 "transitions.components"},
    "funnel": {"steps", "breakdown"},
    "lifecycle": {"intervals"},
    "matrix": {"stages", "channels", "cells", "cells.voice"},
    "moments-of-truth": {"moments"},
    "paths": {"variants", "flow.nodes", "flow.links", "graph.nodes", "graph.edges"},
    "prediction": {"quality.calibration", "weights", "bands"},
    "next-purchase": set(),  # refused: these people come once; `test_next_purchase` has its tables
    "readiness": {"criteria", "feeds", "channels", "unmapped"},
    "retention": {"cohorts", "cohorts.cells", "mean"},
    "stickiness": {"bars"},
    "switches": {"channels"},
    "time-to-convert": {"bins"},
    "uplift": {"bands"},
    "voice": {"surveys", "surveys.touchpoints"},
}  # fmt: skip


@pytest.fixture(scope="module")
def full(history: History) -> dict[str, dict[str, Any]]:
    return answers(history(HISTORY))


@pytest.fixture(scope="module")
def empty(history: History) -> dict[str, dict[str, Any]]:
    return answers(history([]))


def leaves(value: Any) -> Iterator[Any]:
    """All single values of an answer; null says that there is none."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    elif value is not None:
        yield value


def said(table: list[dict[str, Any]]) -> Iterator[Any]:
    """All single values of a table, those of lists that are JSON text included."""
    for row in table:
        for value in row.values():
            yield value
            if isinstance(value, str) and value[:1] in "[{":
                try:
                    yield from leaves(json.loads(value))
                except ValueError:
                    continue


@pytest.mark.parametrize("kind", EVERY)
def test_every_value_of_an_answer_is_in_a_table_of_it(
    full: dict[str, dict[str, Any]], kind: str
) -> None:
    answer = full[kind]
    found = tables(answer)
    lists = {name for name in found if name not in ("table", "figures", "answer")}
    filled = {name for name in lists if found[name]}
    assert filled >= LISTS[kind]
    for name, table in found.items():
        assert len({tuple(row) for row in table}) <= 1, f"columns of {name}"
    apart = {name: table for name, table in found.items() if name != "table"}
    values = {(type(one), one) for table in apart.values() for one in said(table)}
    missing = {(type(one), one) for one in leaves(answer["result"])} - values
    assert not missing
    asked = {(type(one), one) for one in said(found["answer"])}
    assert {(type(one), one) for one in leaves(answer["semantics"])} <= asked
    assert (str, "q_" + kind) in asked


@pytest.mark.parametrize("kind", EVERY)
def test_every_table_is_the_same_in_every_format(
    full: dict[str, dict[str, Any]], empty: dict[str, dict[str, Any]], kind: str
) -> None:
    for answer in (full[kind], empty[kind]):
        book = openpyxl.load_workbook(BytesIO(answer_book.write(answer)))
        cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
        assert {cell.data_type for cell in cells} <= {"s", "n", "b"}
        for name, table in tables(answer).items():
            columns = list(table[0]) if table else []
            content = answer_csv.write(table).decode("utf-8-sig")
            lines = list(csv.reader(StringIO(content, newline="")))
            assert [read(cell) for cell in lines[0]] == columns
            assert len(lines) == len(table) + 1
            for line, row in zip(lines[1:], table, strict=True):
                assert not any(cell.startswith(("=", "+", "-=", "@", "-а")) for cell in line)
                assert [read(cell) for cell in line] == [text(one) for one in row.values()]
            kept = pq.read_table(BytesIO(answer_parquet.write(table))).to_pylist()
            assert len(kept) == len(table)
            for there, row in zip(kept, table, strict=True):
                for column, value in row.items():
                    assert same(there[column], value), (name, column)
            if name in book.sheetnames:
                rows = list(book[name].iter_rows(values_only=True))
                assert len(rows) == len(table) + 1
                for there, row in zip(rows[1:], table, strict=True):
                    for cell, value in zip(there, row.values(), strict=True):
                        assert same(cell, value) or (cell is None and value == ""), (name, value)


def read(cell: str) -> str:
    """A cell of CSV as it is meant: what guards it is no part of it."""
    return cell.removeprefix("'")


def text(value: Any) -> str:
    return "" if value is None else str(value)


def same(there: Any, value: Any) -> bool:
    """Whether a figure is that figure: in a column of several kinds it is text, as in JSON.

    Workbooks have 16 digits, of which Excel shows 15.
    """
    if isinstance(value, float) and isinstance(there, float | int):
        return math.isclose(there, value, rel_tol=1e-15)
    return bool(there == value or there == json.dumps(value, ensure_ascii=False))


@pytest.mark.parametrize("kind", EVERY)
def test_every_answer_is_painted_unless_it_is_sentences(
    full: dict[str, dict[str, Any]], empty: dict[str, dict[str, Any]], kind: str
) -> None:
    for answer in (full[kind], empty[kind]):
        if kind in UNDRAWN:
            with pytest.raises(ValueError, match="no picture"):
                answer_png.draw(answer)
            continue
        painted = answer_png.draw(answer)
        assert painted[:8] == b"\x89PNG\r\n\x1a\n"
        wide, high = (int.from_bytes(painted[at : at + 4], "big") for at in (16, 20))
        drawn = re.search(r'width="(\d+)" height="(\d+)"', pictures.draw(answer))
        assert drawn is not None
        assert wide == 2 * int(drawn[1]) >= 1920
        assert high == 2 * int(drawn[2]) > 100


def test_a_name_that_no_xml_can_hold_is_painted_and_a_long_picture_is_bounded(
    full: dict[str, dict[str, Any]],
) -> None:
    step = full["funnel"]["result"]["steps"][0]
    steps = [{**step, "name": "\x01\ud800\uffff&<"}, *([step] * 400)]
    answer = {**full["funnel"], "result": {**full["funnel"]["result"], "steps": steps}}
    drawn = pictures.draw(answer)
    assert "\x01" not in drawn
    painted = answer_png.draw(answer)
    wide, high = (int.from_bytes(painted[at : at + 4], "big") for at in (16, 20))
    assert answer_png.MOST_DOTS * 0.95 < wide * high < answer_png.MOST_DOTS * 1.01
