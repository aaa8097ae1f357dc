"""How low the merge threshold may be: by what is promised of all pairs that are joined."""

import itertools

import pytest

from identity.affordable import RIGHT, UNSEEN, affordable


def couples(count: int, probability: float, start: int = 0) -> list[tuple[int, int, float]]:
    """Return pairs of two records each."""
    return [(start + 2 * n, start + 2 * n + 1, probability) for n in range(count)]


def test_it_falls_as_long_as_enough_of_all_is_right() -> None:
    sure, likely = couples(2_000, 0.999), couples(200, 0.8, 10_000)
    assert affordable([*sure, *likely], 0.95, 0.7) == pytest.approx(0.7)
    unlikely = couples(2_000, 0.72, 20_000)
    assert affordable([*sure, *likely, *unlikely], 0.95, 0.7) == pytest.approx(0.73)
    right = (2_000 * 0.999 + 200 * 0.8 + 2_000 * 0.72) / (4_200 + UNSEEN)
    assert right < RIGHT


def test_a_few_pairs_promise_nothing() -> None:
    assert affordable([], 0.95, 0.7) == 0.95
    assert affordable([*couples(100, 0.999), *couples(5, 0.9, 1_000)], 0.95, 0.7) == 0.95


def test_it_is_never_above_the_usual_one_nor_below_the_lowest() -> None:
    assert affordable(couples(5_000, 0.999), 0.95, 0.95) == 0.95
    assert affordable(couples(5_000, 0.999), 0.5, 0.7) == 0.5


def test_what_joins_two_groups_counts_as_often_as_it_makes_pairs() -> None:
    """Forty doubtful links between couples are 160 doubtful pairs, between groups of five 1,000."""

    def groups(size: int) -> list[tuple[int, int, float]]:
        made: list[tuple[int, int, float]] = []
        for first in range(0, 80 * size, size):
            made += [
                (a, b, 0.999) for a, b in itertools.combinations(range(first, first + size), 2)
            ]
        bridges = [(2 * n * size, (2 * n + 1) * size, 0.75) for n in range(40)]
        return [*made, *couples(3_000, 0.999, 10_000), *bridges]

    assert affordable(groups(2), 0.95, 0.7) == pytest.approx(0.7)
    assert affordable(groups(5), 0.95, 0.7) == pytest.approx(0.76)
