"""What the shares of matches and households may become, whatever the data shows."""

import pytest

from identity.likeness import COMPARISONS, Expected, Model

PAIRS, RECORDS = 12_500_000.0, 5_000


def shares(matches: float, homes: float) -> Model:
    model = Model(list(COMPARISONS))
    model.learn_shares(Expected({}, {}, {}, matches, homes), PAIRS, RECORDS)
    return model


def test_few_matches_do_not_show_that_there_are_no_households() -> None:
    model = shares(matches=2, homes=0)
    assert model.home_share / model.share == pytest.approx(0.5, rel=0.02)


def test_many_matches_without_a_household_show_that_there_are_hardly_any() -> None:
    model = shares(matches=6_500, homes=0)
    assert 0.001 < model.home_share / model.share < 0.02


def test_households_that_the_data_shows_count_at_any_size() -> None:
    model = shares(matches=6_500, homes=5_000)
    assert model.home_share / model.share == pytest.approx(5_000 / 6_500)
