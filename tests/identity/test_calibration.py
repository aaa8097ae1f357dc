"""Calibration against counts made by hand and against probabilities that are true by making."""

import random

import pytest

from identity.calibration import calibration


def test_the_figures_of_a_small_case_are_those_counted_by_hand() -> None:
    pairs = [(0.92, True), (0.94, False), (0.15, False), (0.15, True), (1.0, True)]
    found = calibration(pairs, 0.95)
    last, second = found.deciles[9], found.deciles[1]
    assert (last.pairs, second.pairs, found.pairs) == (3, 2, 5)
    assert last.predicted == pytest.approx((0.92 + 0.94 + 1.0) / 3)
    assert last.observed == pytest.approx(2 / 3)
    assert second.observed == 0.5
    error = 3 * ((0.92 + 0.94 + 1.0) / 3 - 2 / 3) + 2 * 0.35
    assert found.error == pytest.approx(error / 5)
    # Both of the band lie in one step of it, of odds from half the threshold's to its own.
    assert found.band_pairs == 2
    assert found.band_error == pytest.approx(0.93 - 0.5)


def test_the_band_is_of_odds_from_a_quarter_to_four_times_those_of_the_threshold() -> None:
    found = calibration([], 0.8)
    assert found.band_low == pytest.approx(1 / 2)
    assert found.band_high == pytest.approx(16 / 17)


def test_true_probabilities_have_no_error_and_exaggerated_ones_have() -> None:
    dice = random.Random(11)  # noqa: S311 -- a seeded test, no secret
    true = [(p, dice.random() < p) for p in (dice.random() for _ in range(40_000))]
    found = calibration(true, 0.9)
    assert found.error == pytest.approx(0, abs=0.01)
    assert found.band_error == pytest.approx(0, abs=0.01)
    bold = calibration([(p**0.1, match) for p, match in true], 0.9)
    assert bold.error is not None
    assert bold.error > 0.3


def test_without_pairs_there_is_no_error_rather_than_none_found() -> None:
    found = calibration([(0.01, False)], 0.95)
    assert found.band_error is None
    assert found.deciles[9].observed is None
    assert calibration([], 0.95).error is None
