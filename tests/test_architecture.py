"""What the import contracts do not see: errors, who writes where, sizes, times, suppressions."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api import errors as api_errors
from api.problems import BASES, STATUS, slug, title
from app import errors as app_errors
from consent import errors as consent_errors
from identity import errors as identity_errors

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ("app", "identity", "consent")
LONGEST_FILE = 400
#: Files that are longer, and how long they may be at most; to be split, never to be extended.
LONGER = {"tests/api/test_oauth.py": 800}
WRITE = re.compile(r"(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE)\s+(app|identity|consent)\.\w")
TABLE_IMPORT = re.compile(r"from (app|identity|consent)(?:\.\w+)*\.tables import")
SUPPRESSION = re.compile(r"#\s*(?:type:\s*ignore|noqa|ruff:\s*noqa)\b")
#: What must follow a suppression: its codes, and then the reason in words.
REASON = re.compile(
    r"#\s*(?:type:\s*ignore\[[\w,\- ]+\]\s+#\s*\w+"
    r"|(?:ruff:\s*)?noqa:\s*[A-Z0-9, ]+?\s*(?:-{1,2}|#)\s*\w+)"
)
ERRORS = [
    kind
    for module in (api_errors, app_errors, consent_errors, identity_errors)
    for kind in vars(module).values()
    if inspect.isclass(kind) and kind.__module__ == module.__name__
]


def tracked(pattern: str) -> list[Path]:
    """The files of the repository, as git knows them, new ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def lines(pattern: str) -> Iterator[tuple[str, str]]:
    for path in tracked(pattern):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_one_sentence_and_has_a_status(kind: type[Exception]) -> None:
    heading = title(kind)
    assert heading.endswith("."), heading
    assert heading[0].isupper()
    assert kind.__doc__ is not None
    if kind in BASES:
        assert kind not in STATUS
    else:
        assert kind in STATUS
        assert issubclass(kind, BASES)


def test_no_two_errors_share_a_problem_type() -> None:
    slugs = [slug(kind) for kind in STATUS]
    assert len(slugs) == len(set(slugs))


@pytest.mark.parametrize("folder", ["api", *SCHEMAS])
def test_only_the_owning_folder_writes_to_its_schema(folder: str) -> None:
    paths = [p for kind in ("py", "sql") for p in (ROOT / folder).rglob(f"*.{kind}")]
    assert paths
    for path in paths:
        text = path.read_text(encoding="utf-8")
        found = {match[1] for rule in (WRITE, TABLE_IMPORT) for match in rule.finditer(text)}
        others = found - {folder}
        if folder == "api":  # HTTP writes nothing itself; the names of tables it may know
            others = {match[1] for match in WRITE.finditer(text)}
        assert not others, f"{path.relative_to(ROOT)} writes to {sorted(others)}"


def test_the_schemas_are_there_to_be_found_by_that_rule() -> None:
    assert WRITE.search("INSERT INTO identity.identifier (namespace)")
    assert WRITE.search("UPDATE\n  app.event SET")
    assert not WRITE.search("SELECT FROM identity.identifier")
    assert TABLE_IMPORT.search("from app.profiles.tables import Trait")


def test_no_file_is_longer_than_a_reader_bears() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in tracked("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines()))
        > LONGER.get(str(path.relative_to(ROOT)), LONGEST_FILE)
    }
    assert not long


def test_every_suppression_says_what_and_why() -> None:
    silent = [
        f"{place}: {line.strip()}"
        for place, line in lines("*.py")
        if SUPPRESSION.search(line) and not REASON.search(line)
    ]  # fmt: skip
    assert not silent


def test_every_point_in_time_has_its_zone(session: Session) -> None:
    query = sa.text(
        "SELECT table_schema || '.' || table_name || '.' || column_name AS place, data_type "
        "FROM information_schema.columns WHERE table_schema = any(:schemas) "
        "AND (data_type LIKE 'time%' OR data_type = 'date' OR column_name LIKE '%\\_at')"
    )
    rows = session.execute(query, {"schemas": list(SCHEMAS)})
    found = {str(row.place): str(row.data_type) for row in rows}
    assert len(found) > 30
    zoneless = {place: kind for place, kind in found.items() if kind != "timestamp with time zone"}
    # Of a record the microseconds since 1970 of each field.
    assert zoneless == {"consent.denial.day": "date", "identity.record.said_at": "jsonb"}


def test_every_table_has_a_primary_key_and_every_integer_sixty_four_bits(session: Session) -> None:
    keyless = session.scalars(
        sa.text(
            "SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            # An index of ids would cost every event, and nothing looks one up by its id alone.
            "WHERE c.relkind = 'r' AND n.nspname = any(:schemas) "
            "AND c.relname !~ '^event_p[0-9]+$' AND NOT EXISTS "
            "(SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
        ),
        {"schemas": list(SCHEMAS)},
    ).all()
    assert keyless == []
    small = session.scalars(
        sa.text(
            "SELECT table_name || '.' || column_name FROM information_schema.columns "
            "WHERE table_schema = any(:schemas) AND data_type IN ('integer', 'smallint')"
        ),
        {"schemas": list(SCHEMAS)},
    ).all()
    assert small == []


def test_a_server_starts_without_what_only_some_requests_need() -> None:
    code = (
        "import sys, api.main, api.cli.serve;"
        "late = {'alembic', 'duckdb', 'pyarrow', 'splink', 'pandas', 'numpy'};"
        "print(sorted(late & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"
    code = "import sys, app.journeys.analyses; print('scipy.optimize' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "False"
