"""README's commands, and those of the pages that go on from it, run against a real server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.end_to_end.product import Product
from tests.test_docs import PAGES, README, ROOT, blocks

MARK = "-- next --"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory that no other pytest on the machine shuts (see `server_url`)."""
    with TemporaryDirectory(prefix="parcours-readme-") as name:
        yield Path(name)


def _run(product: Product, scripts: list[str]) -> list[str]:
    """Run scripts in one bash, from the repository, and return what each of them printed."""
    script = f'\necho "{MARK}"\n'.join(scripts)
    script = script.replace("http://127.0.0.1:8000", product.url)
    script = script.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**product.environment, "PARCOURS_DATA_DIR": str(product.data)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(MARK)


def test_the_two_curls_of_the_readme_send_an_event_and_read_the_profile(scratch: Path) -> None:
    product = Product(scratch)
    product.start()
    try:
        readme = blocks(README, "bash")
        others = [block for page in PAGES for block in blocks(page, "bash")]
        refused = readme[-1].replace("analytics.audience", "marketing.email")
        elsewhere = readme[-1].replace("analytics.audience", "ads.share")
        printed = _run(product, [*readme, refused, elsewhere, *others])
    finally:
        product.close()

    assert printed[0].strip() == ""
    sent = json.loads(printed[1])
    assert sent == {
        "success": True, "received": 1, "accepted": 1, "duplicates": 0,
        "held": 0, "rejected": [],
    }  # fmt: skip
    profile = json.loads(printed[2])
    assert profile["traits"] == {"city": "Lyon", "first_name": "Ada"}
    assert profile["withheld"] == []
    assert [i["value"] for i in profile["identifiers"]] == ["u-42"]

    withheld = json.loads(printed[3])
    assert withheld["traits"] == {}
    assert [w["reason"] for w in withheld["withheld"]] == ["refused"]
    assert json.loads(printed[4])["status"] == 403
    assert any('"state":"withdrawn"' in text for text in printed[5:])


def test_the_make_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for page in (README, ROOT / "CONTRIBUTING.md", *PAGES):
        named = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE))
        assert named <= targets, page.name


def test_the_readme_fits_its_form() -> None:
    text = README.read_text(encoding="utf-8")
    assert "`api → app → { identity | consent }`" in text
    assert "start at app/pipeline.py" in text
    tree = re.search(r"^app/ .*?^docs/", text, re.DOTALL | re.MULTILINE)
    assert tree, "the tree"
    folder = ""
    for line in tree.group().splitlines():
        name = re.match(r"\s*([\w.]+/?)", line)
        assert name, line
        if not line.startswith(" "):
            folder = name[1]
            assert (ROOT / folder).is_dir(), line
        else:
            assert (ROOT / folder / name[1]).exists(), line


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_command_blocks_hold_plain_commands(page: Path) -> None:
    for block in blocks(page, "console"):
        for line in block.splitlines():
            assert line.startswith(("$ ", "ready http://")), line
