"""The token bucket: the average is kept whatever comes, and no batch waits for ever."""

import math

from hypothesis import given
from hypothesis import strategies as st

from app.access.bucket import Bucket


def test_it_starts_full_empties_and_fills_again() -> None:
    bucket = Bucket(rate=10, burst=20)
    assert bucket.take(20, now=100.0) == 0
    assert bucket.take(5, now=100.0) == 0.5
    assert bucket.take(5, now=100.4) > 0
    assert bucket.take(5, now=100.5) == 0
    assert bucket.take(20, now=1000.0) == 0
    assert bucket.take(1, now=1000.0) == 0.1


def test_what_is_refused_takes_nothing() -> None:
    bucket = Bucket(rate=1, burst=10)
    assert bucket.take(6, now=0) == 0
    assert bucket.take(6, now=0) == 2
    assert bucket.take(4, now=0) == 0


def test_a_batch_above_the_burst_passes_when_it_is_full_and_is_owed() -> None:
    bucket = Bucket(rate=10, burst=10)
    assert bucket.take(100, now=0) == 0
    assert bucket.take(1, now=1) > 8
    assert bucket.take(100, now=9.9) > 0
    assert bucket.take(100, now=10) == 0


def test_new_settings_go_on_with_what_is_left() -> None:
    bucket = Bucket(rate=1, burst=10)
    bucket.take(4, now=0)
    bucket.change(rate=2, burst=30)
    assert bucket.take(6, now=0) == 0
    assert bucket.take(1, now=0) == 0.5
    assert bucket.take(30, now=15) == 0
    full = Bucket(rate=1, burst=1_000)
    full.change(rate=1, burst=5)
    assert full.take(5, now=0) == 0
    assert full.take(5, now=0) == 5


@given(
    st.floats(0.1, 10_000),
    st.integers(1, 1_000),
    st.lists(st.tuples(st.integers(0, 2_000), st.floats(0, 10)), max_size=60),
)
def test_the_average_is_kept_and_the_promised_wait_is_enough(
    rate: float, burst: int, requests: list[tuple[int, float]]
) -> None:
    bucket = Bucket(rate, burst)
    now, passed, largest = 0.0, 0, 0
    for events, pause in requests:
        now += pause
        wait = bucket.take(events, now)
        if wait:
            now += math.ceil(wait)
            assert bucket.take(events, now) == 0
        passed += events
        largest = max(largest, events)
        assert passed <= burst + largest + rate * now + 1e-3
