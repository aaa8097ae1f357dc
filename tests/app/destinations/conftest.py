"""A world for each test, and receivers on this machine."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.db import Sessions
from tests.app.destinations.world import EMAIL, World
from tests.end_to_end.conftest import receiver

__all__ = ["receiver"]


@pytest.fixture
def people(
    server: TestClient,
    sessions: Sessions,
    write_key: str,
    token: Callable[..., dict[str, str]],
) -> World:
    """A world without people yet."""
    return World(server, sessions, write_key, token(purposes=(EMAIL, "analytics.audience")))
