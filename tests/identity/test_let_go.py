"""What compared records is gone when it has compared them: its threads, and what it held."""

import gc
import os
from pathlib import Path

import pytest

from identity import splink_model
from identity.blocking import keys_of
from identity.splink_model import learn
from identity.whole import Whole
from tests.identity.test_splink_model import ADA, pa, table, town

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts by /proc")


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_no_database_outlives_its_run() -> None:
    """Each left nine threads or more, and all its records, until the garbage collector came by."""
    records = table([*town(80), ADA, ADA])
    _, learnt = learn(records)  # what is loaded once may begin threads
    assert learnt is not None
    keys = {key for _, _, key in keys_of(records)}
    before = threads()
    gc.disable()
    try:
        learn(records)
        assert threads() == before
        assert splink_model.score_new(records, [80], learnt, keys)
        assert threads() == before
        with Whole() as whole:
            seen = {"changed_at": ["now"] * 82, "is_new": [True] * 82}
            columns = {name: records.column(name) for name in records.column_names}
            whole.add(pa.table({**columns, **seen}))
            assert whole.compare(threshold=0.5) is not None
            whole.affords(0.95, 0.8)
            assert next(whole.pairs(1))  # and not all of them
        assert threads() == before
    finally:
        gc.enable()
