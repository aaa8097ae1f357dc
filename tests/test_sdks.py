"""The table of SDKs, what the tests drive, and what is installed for them are the same."""

import json
import re
from pathlib import Path

from tests.end_to_end.sdk.rows import BROWSER, CONSENT, NODE, PYTHON, SERVER

ROOT = Path(__file__).resolve().parents[1]
SDK = ROOT / "tests" / "end_to_end" / "sdk"
ROW = re.compile(r"^\| `([^`]+)` \| (\S+) \| (\w*) *\|.*\| (yes|no) \| `(\w+)` \|$", re.MULTILINE)


def table() -> list[tuple[str, str, str]]:
    """The rows of the page: the name of the SDK, whether it sends again, and its test."""
    page = (ROOT / "docs" / "sdks.md").read_text(encoding="utf-8")
    return [
        (f"{package} {version}{', ' if way else ''}{way}", again, test)
        for package, version, way, again, test in ROW.findall(page)
    ]


def test_every_row_of_the_table_has_its_test_and_every_tested_sdk_its_row() -> None:
    tested = [(s.name, "yes" if s.retries else "no", "test_server_sdks") for s in SERVER]
    tested += [(p.name, "yes" if p.retries else "no", "test_browser_sdks") for p in BROWSER]
    tested += [(CONSENT, "yes", "test_browser_sdks")]
    assert sorted(table()) == sorted(tested)
    page = (ROOT / "docs" / "sdks.md").read_text(encoding="utf-8")
    assert len(table()) == len(re.findall(r"^\| `", page, re.MULTILINE)), "a row is not understood"


def test_the_tests_run_over_all_rows() -> None:
    for test, rows in (("test_server_sdks", "SERVER"), ("test_browser_sdks", "BROWSER")):
        text = (SDK / f"{test}.py").read_text(encoding="utf-8")
        assert re.search(rf'parametrize\("(?:sdk|page)", {rows}, ids=str\)', text), test


def test_the_installed_packages_have_the_versions_of_the_table() -> None:
    for sdk in PYTHON:
        package, version = sdk.name.partition(",")[0].split(" ")
        pinned = (SDK / "python" / sdk.requirements).read_text(encoding="utf-8")
        assert f"{package}=={version} \\" in pinned
    listed = json.loads((SDK.parent / "node" / "package.json").read_text(encoding="utf-8"))
    installed = set()
    for alias, version in listed["dependencies"].items():
        renamed = re.fullmatch(r"npm:(.+)@(.+)", version)
        installed.add(" ".join(renamed.groups()) if renamed else f"{alias} {version}")
    names = [*(sdk.name for sdk in NODE), *(page.name for page in BROWSER), CONSENT]
    named = {name.partition(",")[0] for name in names}
    assert named <= installed


def test_no_lock_file_names_a_registry() -> None:
    npm = sorted((ROOT / "tests").glob("*/node/package-lock.json"))
    assert len(npm) == 2
    for path in [*(SDK / "python").glob("*.txt"), *npm]:
        text = path.read_text(encoding="utf-8")
        assert '"resolved"' not in text
        assert "index-url" not in text
    for path in npm:
        locked = json.loads(path.read_text(encoding="utf-8"))
        unhashed = [n for n, p in locked["packages"].items() if n and "integrity" not in p]
        assert unhashed == []
