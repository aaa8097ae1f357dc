"""`parcours demo`, as `make demo` runs it, on fewer people."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree


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
