"""Check 45: without its decision, the test of each enforcement point fails.

Each decision is taken out of a copy of the product, one at a time. A point whose test still passes
then is not tested.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[1]
PARTS = ("api", "app", "consent", "identity", "migrations", "tests", "pyproject.toml")
#: Of each test of tests/app/test_enforcement.py: the file, what decides there, and what would be
#: there if nobody asked.
DECISIONS = {
    "test_e1_collect": (
        "app/events/collection.py", "        if not decision.allow:\n", "        if False:\n"
    ),
    "test_e3_link": (
        "app/resolve.py", "    if not identifiers:\n        return set()\n", "    return set()\n"
    ),
    "test_e4_read": (
        "app/profiles/read.py",
        "p.identifier_id for p in decisions if p.allowed)),\n        withheld",
        "p.identifier_id for p in decisions)),\n        withheld",
    ),
    "test_e4_compute": (
        "app/profiles/computed_sql.py", "FROM permission WHERE allowed", "FROM permission"
    ),
    "test_e5_segment": (
        "app/segments/compile.py", "FROM permission WHERE allowed", "FROM permission"
    ),
    "test_e5_list": (
        "app/segments/members.py",
        "[row for row in page if row.person_id in allowed]",
        "list(page)",
    ),
    "test_e6_build": (
        "app/destinations/outbox.py", "for p in delta.entered if p in allowed]",
        "for p in delta.entered]",
    ),
    "test_e6_dequeue": (
        "app/destinations/deciding.py", "row.id for row in asked if row.person_id in allowed",
        "row.id for row in asked",
    ),
    "test_e6_retry": (
        "app/destinations/deciding.py", "row.id for row in asked if row.person_id in allowed",
        "row.id for row in asked",
    ),
    "test_e7_copy": (
        "app/consents/everybody.py",
        "    allowed = [one for one in ids if one[1]]\n",
        "    allowed = list(ids)\n",
    ),
    "test_e8_masks": (
        "app/identities/explaining.py",
        "        if decision is not None and decision.allowed:\n",
        "        if decision is not None:\n",
    ),
    "test_e9_replay": (
        "app/destinations/deciding.py", "row.id for row in asked if row.person_id in allowed",
        "row.id for row in asked",
    ),
    "test_e9_correct": (
        "app/events/collection.py", "        if not decision.allow:\n", "        if False:\n"
    ),
    "test_learning_of_e10": (
        "app/consents/everybody.py",
        "    allowed = [one for one in ids if one[1]]\n",
        "    allowed = list(ids)\n",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product, which the tests below change and put back."""
    made = tmp_path_factory.mktemp("product")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(
                ROOT / part,
                made / part,
                ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
            )
        else:
            shutil.copy(ROOT / part, made / part)
    return made


def run(copy: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy with its own code."""
    where = [f"tests/app/test_enforcement.py::{test}" for test in tests]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *where],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_45_the_points_hold_as_they_are(copy: Path) -> None:
    found = run(copy, *DECISIONS)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("test", DECISIONS)
def test_45_without_its_decision_the_test_of_a_point_fails(copy: Path, test: str) -> None:
    name, decides, without = DECISIONS[test]
    file = copy / name
    text = file.read_text(encoding="utf-8")
    assert text.count(decides) == 1, "the decision is where it was"
    file.write_text(text.replace(decides, without), encoding="utf-8")
    try:
        found = run(copy, test)
    finally:
        file.write_text(text, encoding="utf-8")
    assert found.returncode == 1, found.stdout
    assert "1 failed" in found.stdout
    assert "Assert" in found.stdout, "it fails by what it asserts"
