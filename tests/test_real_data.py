"""Golden numbers are shown in CI or it fails; elsewhere their tests say that they are skipped."""

from pathlib import Path

import pytest

from tests import real_data


def test_what_is_absent_is_a_failure_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_data, "REQUIRED", True)
    with pytest.raises(pytest.fail.Exception, match="SHARED_DATA=required"):
        real_data.need("no", "such", "file")
    monkeypatch.setattr(real_data, "REQUIRED", False)
    with pytest.raises(pytest.skip.Exception, match="is not on this machine"):
        real_data.need("no", "such", "file")


def test_ci_requires_it() -> None:
    script = Path(__file__).parents[1] / ".ci" / "run"
    assert "\nexport SHARED_DATA=required\n" in script.read_text()
