"""Every acceptance check of an issue is on its page: with what shows it, or why nothing does."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r"`((?:tests|benchmarks)/[\w/]+\.py)(?:::(\w+))?`")


class Table(NamedTuple):
    """A page of checks, and the numbers that must be on it."""

    page: str
    checks: frozenset[int]


#: Issue 5 has 1 to 88. Issue 7 has 1 to 69, of which the research leaves some numbers out; 70 to 80
#: are those of orchestration.
DATA = Table("acceptance.md", frozenset(range(1, 89)))
JOURNEYS = Table("journey-checks.md", frozenset(range(1, 70)) - {18, 19, 23, 27, 33, 37, 38, 50})
both = pytest.mark.parametrize("table", [DATA, JOURNEYS], ids=lambda table: table.page)


def text(table: Table) -> str:
    return (ROOT / "docs" / table.page).read_text(encoding="utf-8")


def rows(table: Table, heading: str) -> list[tuple[set[int], str]]:
    """The rows of a table below a heading: the numbers of the first cell, and the row."""
    part = text(table).partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if re.match(r"\| \d", line)]
    return [(numbers(line.split("|")[1]), line) for line in lines]


def numbers(cell: str) -> set[int]:
    found = set()
    for part in cell.split(","):
        first, _, last = part.strip().partition("–")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@both
def test_every_check_is_there_once(table: Table) -> None:
    listed = [*rows(table, "Shown"), *rows(table, "Not shown, or in part")]
    assert sorted(n for found, _ in listed for n in found) == sorted(table.checks)


@both
def test_what_is_shown_names_tests_that_exist_and_what_is_not_says_why(table: Table) -> None:
    for _, row in rows(table, "Shown"):
        assert NAMED.search(row), row
    for _, row in rows(table, "Not shown, or in part"):
        assert len(row.split("|")[2].split()) > 8, row
    for path, test in NAMED.findall(text(table)):
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_a_test_that_bears_a_number_is_of_a_check_on_the_page() -> None:
    """A file whose tests bear numbers stands for one of these at least."""
    for cell, row in rows(DATA, "Shown"):
        for path, test in NAMED.findall(row):
            said = (ROOT / path).read_text(encoding="utf-8")
            borne = {int(n) for n in re.findall(r"def test_(?:[a-h])?(\d\d)_", said)}
            if borne and not test:
                assert cell & borne, f"{path} bears {sorted(borne)}, and stands for {sorted(cell)}"


def test_a_test_of_journeys_that_bears_a_number_is_on_the_page_at_that_check() -> None:
    borne = [
        (int(number), path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "journeys" in path.parts
        for number in re.findall(r"def test_(\d\d)_", path.read_text(encoding="utf-8"))
    ]
    assert borne
    shown = {n: row for ns, row in rows(JOURNEYS, "Shown") for n in ns}
    for number, path in borne:
        assert number in shown, number
        assert path.name in shown[number], f"{number}: {path.name}"
