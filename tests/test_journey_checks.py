"""Every check of the research on journeys is on the page: with what shows it, or why nothing does.

The checks are those of issue 7: numbers 1 to 69 as far as they are listed; 70 to 80 are those of
orchestration, which is another issue.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "journey-checks.md").read_text(encoding="utf-8")
#: Numbers that the list leaves out.
MISSING = {18, 19, 23, 27, 33, 37, 38, 50}
CHECKS = set(range(1, 70)) - MISSING
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
        assert len(row.split("|")[2].split()) > 5, row
    for path, test in NAMED.findall(PAGE):
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_a_test_that_bears_a_number_is_on_the_page_at_that_check() -> None:
    found = {
        int(number): path
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "journeys" in path.parts
        for number in re.findall(r"def test_(\d\d)_", path.read_text(encoding="utf-8"))
    }
    assert found
    shown = {n: row for ns, row in rows("Shown") for n in ns}
    for number, path in found.items():
        assert number in shown, number
        assert path.name in shown[number], f"{number}: {path.name}"
