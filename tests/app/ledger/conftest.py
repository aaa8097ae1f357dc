"""A ledger on a database of the test's own, with its keystore and its anchor."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.db import Sessions
from app.ledger import seal
from app.ledger.anchor import Anchor
from app.ledger.keystore import Keystore
from app.settings import Settings
from tests.app.ledger.recording import HOST


@pytest.fixture
def keystore(settings: Settings) -> Iterator[Keystore]:
    """The keystore of the test's installation."""
    found = Keystore(settings)
    yield found
    found.close()


@pytest.fixture
def anchor(settings: Settings) -> Anchor:
    """The anchor of the test's installation."""
    return Anchor(settings.anchor_dir)


@pytest.fixture
def sealing(sessions: Sessions, keystore: Keystore, anchor: Anchor) -> Callable[..., int]:
    """Seal what waits, as the worker does."""

    def run(most: int = 100) -> int:
        return seal.run(sessions, keystore, anchor, host=HOST, most=most)

    return run


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """An installation whose database nobody asks."""
    return Settings(data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:1/none")


@pytest.fixture
def keys_alone(alone: Settings) -> Iterator[Keystore]:
    """The keystore of an installation whose database nobody asks."""
    found = Keystore(alone)
    yield found
    found.close()
