"""How low the merge threshold may be: by what is promised of all pairs that are joined."""

import itertools

import pytest

from identity.affordable import RIGHT, UNSEEN, affordable, says_little


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
    """Forty doubtful links between couples are 160 doubtful pairs, between groups of ten 4,000."""

    def groups(size: int) -> list[tuple[int, int, float]]:
        made: list[tuple[int, int, float]] = []
        for first in range(0, 80 * size, size):
            made += [
                (a, b, 0.999) for a, b in itertools.combinations(range(first, first + size), 2)
            ]
        bridges = [(2 * n * size, (2 * n + 1) * size, 0.75) for n in range(40)]
        return [*made, *couples(3_000, 0.999, 10_000), *bridges]

    assert affordable(groups(2), 0.95, 0.7) == pytest.approx(0.7)
    assert affordable(groups(10), 0.95, 0.7) == pytest.approx(0.76)


@pytest.mark.parametrize(
    ("most", "found", "matches", "little"),
    [
        (3, 1_000, 1_000, True),
        (4, 740, 1_000, True),
        (4, 760, 1_000, False),
        (9, 740, 1_000, True),
        (4, 100, 400, False),
    ],
    ids=["names and a date", "a census", "found", "many fields, all in doubt", "few records"],
)
def test_records_say_little_in_three_comparisons_or_where_much_is_in_doubt(
    most: int, found: float, matches: float, little: bool
) -> None:
    assert says_little(most, found, matches) == little
