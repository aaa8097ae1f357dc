"""`parcours demo`, as `make demo` runs it, on fewer people."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from xml.etree import ElementTree

import pytest

from tests.end_to_end.conftest import Measure


def test_the_demonstration_shows_the_whole_loop_and_ends_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "api", "demo", "--people", "100", "--no-stay", "--port", "0"]
    command += ["--out", str(tmp_path / "pictures"), "--language", "fr"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    text = re.sub(r"\s+", " ", done.stdout)
    found = re.search(r"([\d,]+) events sent .*?: ([\d,]+) accepted", text)
    assert found is not None
    sent, accepted = (int(number.replace(",", "")) for number in found.groups())
    assert sent > accepted > sent / 3
    for heading in ("Against the truth", "Segments", "Funnel", "Journey", "Consent denials"):
        assert heading in text
    assert re.search(r"people who gave profile\.link │ [01]\.\d{4}", text)
    assert "not verified" not in text
    # What it found is drawn, by the names of the map in the language that was asked for.
    drawn = {file.stem: file.read_text(encoding="utf-8") for file in tmp_path.glob("*/*.svg")}
    assert set(drawn) == {"matrix", "funnel", "sankey", "channels", "lost", "friction", "target",
                          "time", "retention"}  # fmt: skip
    for name, picture in drawn.items():
        assert ElementTree.fromstring(picture).get("lang") == "fr"  # noqa: S314 - our own text
        assert f"{name}.svg" in (tmp_path / "pictures" / "index.html").read_text(encoding="utf-8")
        assert str(tmp_path / "pictures" / f"{name}.svg") in done.stdout
    assert "Je découvre" in drawn["matrix"]
    assert "Téléphone" in drawn["matrix"]
    assert "Fiche produit" in drawn["sankey"]
    assert "autres" in drawn["sankey"]
    assert "product-web" not in drawn["sankey"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory outside pytest's own, which PostgreSQL's account may not enter."""
    with TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.long
def test_69_from_a_template_to_a_matrix_and_a_funnel_of_three_events_by_command(
    tmp_path: Path, home: Path, measure: Measure
) -> None:
    folder = tmp_path / "maps"

    def parcours(*words: str) -> str:
        command = [sys.executable, "-m", "api", *words, "--data-dir", str(home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[:2000]
        return done.stdout

    parcours("demo", "--people", "100", "--no-stay", "--port", "0", "--out", str(tmp_path / "d"))
    folder.mkdir()
    started = monotonic()
    file, question = folder / "map.json", folder / "question.json"
    command = [sys.executable, "-m", "api", "journey", "start", "retail", "--out", str(file)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    # Of the template three touchpoints are kept and said by which events they are proved.
    events = {
        "product": "Product Viewed",
        "checkout": "Checkout Started",
        "order": "Order Completed",
    }
    map_ = json.loads(file.read_text(encoding="utf-8"))
    map_["touchpoints"] = [
        {**one, "match": {"event": events[one["id"]]}}
        for one in map_["touchpoints"]
        if one["id"] in events
    ]
    file.write_text(json.dumps(map_), encoding="utf-8")
    parcours("journey", "import", str(file))
    matrix = json.loads(parcours("analyse", "matrix", "--journey", map_["key"], "--json"))
    seen = [one["profiles"] for one in matrix["result"]["cells"] if one["observed"]]
    assert len(seen) == 2  # looked at, and bought, on the web
    steps = [{"event": name} for name in events.values()]
    question.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    picture = folder / "funnel.svg"
    parcours("analyse", "funnel", str(question), "--out", str(picture))
    assert "Order Completed" in picture.read_text(encoding="utf-8")
    taken = monotonic() - started
    measure("template to funnel s", round(taken, 1))
    assert taken < 600
