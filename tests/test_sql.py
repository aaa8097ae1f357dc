"""Every SQL file is one statement that PostgreSQL can plan against the migrated schema."""

import re
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted(
    p for folder in ("app", "identity", "consent") for p in (ROOT / folder).rglob("*.sql")
)
#: A parameter as SQLAlchemy reads it: a colon and a name, and no cast.
PARAMETER = re.compile(r"(?<![:\w]):(\w+)(?!:)")


def numbered(sql: str) -> str:
    """Write `:name` as `$n`, the same number for the same name."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return PARAMETER.sub(number, re.sub(r"--[^\n]*", "", sql))


def test_there_are_sql_files() -> None:
    assert len(FILES) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_postgresql_can_plan_it(path: Path, session: Session) -> None:
    plan = session.connection().exec_driver_sql(
        "EXPLAIN (GENERIC_PLAN) " + numbered(path.read_text(encoding="utf-8"))
    )
    assert plan.scalars().all()


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_it_says_on_top_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("-- ")
    assert text.split("\n", 1)[0].rstrip().count(" ") >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_it_is_used(path: Path) -> None:
    folder = path.parents[1]
    assert f'"{path.stem}"' in code(folder.relative_to(ROOT).parts[0])


@cache
def code(folder: str) -> str:
    """All Python of a folder, read once for all SQL files."""
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / folder).rglob("*.py"))


def test_a_parameter_is_told_from_a_cast() -> None:
    assert numbered("SELECT :a, '0'::xid8, :b -- :c\n, :a") == "SELECT $1, '0'::xid8, $2 \n, $1"
    with pytest.raises(AssertionError):
        assert not PARAMETER.search(str(sa.text("SELECT :a")))
