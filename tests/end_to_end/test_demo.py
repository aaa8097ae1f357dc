"""`parcours demo`, as `make demo` runs it, on fewer people."""

import re
import subprocess
import sys


def test_the_demonstration_shows_the_whole_loop_and_ends_cleanly() -> None:
    command = [sys.executable, "-m", "api", "demo", "--people", "100", "--no-stay", "--port", "0"]
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
