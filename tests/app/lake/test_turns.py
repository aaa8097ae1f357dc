"""Analyses take turns: so many at once, so many waiting, in order, and what each may take."""

import os
import threading
import time
from pathlib import Path

import duckdb
import pytest

from app.errors import AnalysesBusy
from app.lake import turns
from app.lake.turns import LEFT, Bounds, Turns


def test_no_more_than_so_many_compute_at_once_and_in_the_order_they_came() -> None:
    gate = Turns(Bounds(at_once=2, waiting=20, seconds=60))
    lock, running, most, order = threading.Lock(), 0, 0, []
    queued = []

    def compute(number: int) -> None:
        nonlocal running, most
        with gate.turn():
            with lock:
                running += 1
                most = max(most, running)
                order.append(number)
            release.wait(10)
            with lock:
                running -= 1

    release = threading.Event()
    for number in range(8):
        thread = threading.Thread(target=compute, args=(number,))
        thread.start()
        queued.append(thread)
        while len(order) + len(gate._queue) <= number:
            time.sleep(0.001)
    assert most == 2
    release.set()
    for thread in queued:
        thread.join(30)
    assert most == 2
    assert sorted(order) == list(range(8))
    # Two go on at a time, so that neighbours may change places, and no others.
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))


def test_who_comes_when_enough_wait_is_told_at_once_and_who_waits_too_long_too() -> None:
    gate = Turns(Bounds(at_once=1, waiting=0, seconds=60))
    with gate.turn(), pytest.raises(AnalysesBusy) as busy, gate.turn():
        pass
    assert busy.value.retry_after == 30
    gate = Turns(Bounds(at_once=1, waiting=1, seconds=0.05))
    with gate.turn(), pytest.raises(AnalysesBusy), gate.turn():
        pass
    # Neither keeps a place.
    with gate.turn():
        pass


def test_a_free_turn_is_held_and_one_that_is_not_free_is_not_waited_for() -> None:
    gate = Turns(Bounds(at_once=1, waiting=0))
    with gate.free() as mine:
        assert mine
        with gate.free() as another, pytest.raises(AnalysesBusy), gate.turn():
            pass
        assert not another
    with gate.turn(), gate.free() as taken:
        assert not taken
    with gate.free() as again:
        assert again


def test_an_analysis_that_fails_gives_its_turn_back() -> None:
    gate = Turns(Bounds(at_once=1, waiting=0))
    with pytest.raises(ValueError, match="wrong"), gate.turn():
        raise ValueError("wrong")
    with gate.turn():
        pass


def test_what_is_too_large_for_memory_goes_on_below_the_lake_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_turns", Turns(Bounds(at_once=1, memory=60_000_000)))
    old, new = tmp_path / "spill-killed", tmp_path / "spill-other"
    for left in (old, new):
        left.mkdir()
        (left / "part").write_text("somebody's")
    before = time.time() - LEFT - 60
    os.utime(old, (before, before))
    with turns.engine(tmp_path) as config, duckdb.connect(config=config) as connection:
        [mine] = {path.name for path in tmp_path.iterdir()} - {"spill-other"}
        assert (tmp_path / mine).stat().st_mode & 0o077 == 0
        # 160 MB of rows are sorted in 60 MB.
        connection.execute(
            "CREATE TABLE sorted AS SELECT hash(i) AS h, hash(i + 1) AS g FROM range(10_000_000)"
            " t (i) ORDER BY h"
        )
        assert any((tmp_path / mine).iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"spill-other"}
