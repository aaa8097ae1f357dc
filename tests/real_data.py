"""The real data beside the repository, against which golden numbers are held."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
#: Set in CI, where their absence is a failure: skipped, these tests would show nothing.
REQUIRED = os.environ.get("SHARED_DATA") == "required"


def need(*parts: str) -> Path:
    """Return a file or folder of `../shared`; where it is absent, skip the test or fail it."""
    found = SHARED.joinpath(*parts)
    if not found.exists():
        said = f"{found} is not on this machine"
        if REQUIRED:
            pytest.fail(f"{said}, and SHARED_DATA=required")
        pytest.skip(said)
    return found
