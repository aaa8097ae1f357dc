"""Every acceptance check of issue 5 is on the page: with what shows it, or why nothing does."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "acceptance.md").read_text(encoding="utf-8")
CHECKS = set(range(1, 89))
NAMED = re.compile(r"`((?:tests|benchmarks)/[\w/]+\.py)(?:::(\w+))?`")


def rows(heading: str) -> list[tuple[set[int], str]]:
    """The rows of a table below a heading: the numbers of the first cell, and the row."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if re.match(r"\| \d", line)]
    return [(numbers(line.split("|")[1]), line) for line in lines]


def numbers(cell: str) -> set[int]:
    found = set()
    for part in cell.split(","):
        first, _, last = part.strip().partition("–")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_every_check_is_there_once() -> None:
    listed = [*rows("Shown"), *rows("Not shown, or in part")]
    assert sorted(n for found, _ in listed for n in found) == sorted(CHECKS)


def test_what_is_shown_names_tests_that_exist_and_what_is_not_says_why() -> None:
    for _, row in rows("Shown"):
        assert NAMED.search(row), row
    for _, row in rows("Not shown, or in part"):
        assert len(row.split("|")[2].split()) > 8, row
    for path, test in NAMED.findall(PAGE):
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_a_test_that_bears_a_number_is_of_a_check_on_the_page() -> None:
    """A file whose tests bear numbers stands for one of these at least."""
    for cell, row in rows("Shown"):
        for path, test in NAMED.findall(row):
            text = (ROOT / path).read_text(encoding="utf-8")
            borne = {int(n) for n in re.findall(r"def test_(?:[a-h])?(\d\d)_", text)}
            if borne and not test:
                assert cell & borne, f"{path} bears {sorted(borne)}, and stands for {sorted(cell)}"
