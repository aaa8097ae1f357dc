"""Markov and Shapley: by hand, against slow definitions, and what both must always keep."""

import random
from fractions import Fraction
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.journeys.credit import CONVERTED, LOST, START, Label, removal_effects, shapley_of_rates

Path = tuple[tuple[str, ...], bool]
PATHS = st.lists(
    st.tuples(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=6).map(tuple), st.booleans()),
    min_size=1,
    max_size=12,
)


def moves(paths: list[Path]) -> dict[tuple[tuple[Label] | str, tuple[Label] | str], int]:
    found: dict[tuple[tuple[Label] | str, tuple[Label] | str], int] = {}
    for route, won in paths:
        states: list[tuple[Label] | str] = [START, *((one,) for one in route)]
        for pair in pairwise([*states, CONVERTED if won else LOST]):
            found[pair] = found.get(pair, 0) + 1
    return found


def labels(paths: list[Path]) -> list[str]:
    return sorted({one for route, _ in paths for one in route})


def converting(paths: list[Path], removed: str | None) -> Fraction:
    """P(converted) when whoever comes to a channel is lost, by elimination in exact fractions."""
    chain = moves(paths)
    states = [one for one in labels(paths) if one != removed]
    out: dict[Label, int] = {
        one: sum(n for (source, _), n in chain.items() if source == (one,)) for one in states
    }
    share = {
        (one[0], two): Fraction(n, out[one[0]])
        for (one, two), n in chain.items()
        if isinstance(one, tuple) and one[0] in out
    }
    rows = [
        [Fraction(int(a == b)) - share.get((a, (b,)), Fraction(0)) for b in states]
        + [share.get((a, CONVERTED), Fraction(0))]
        for a in states
    ]
    for column in range(len(states)):
        pivot = next(row for row in range(column, len(rows)) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(len(rows)):
            if row != column:
                factor = rows[row][column]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[column], strict=True)]
    return sum(
        (
            Fraction(chain.get((START, (one,)), 0), len(paths)) * rows[place][-1]
            for place, one in enumerate(states)
        ),
        Fraction(0),
    )


def test_the_chain_that_is_worked_out_by_hand() -> None:
    """research/journeys.md §7, 41."""
    paths: list[Path] = [(("C1", "C2", "C3"), True), (("C1",), False), (("C2", "C3"), False)]
    share, effects = removal_effects(moves(paths), ["C1", "C2", "C3"])
    assert share == pytest.approx(1 / 3, abs=1e-15)
    assert effects == pytest.approx({"C1": 0.5, "C2": 1.0, "C3": 1.0}, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(PATHS)
def test_removal_is_what_a_chain_without_the_channel_converts_less(paths: list[Path]) -> None:
    share, effects = removal_effects(moves(paths), labels(paths))
    whole = converting(paths, None)
    assert share == pytest.approx(float(whole), abs=1e-12)
    for label in labels(paths):
        lost = 1 - converting(paths, label) / whole if whole else Fraction(0)
        assert effects[label] == pytest.approx(float(lost), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(PATHS)
def test_touching_the_same_channel_again_at_once_changes_no_effect(paths: list[Path]) -> None:
    twice = [(tuple(one for label in route for one in (label, label)), won) for route, won in paths]
    once = removal_effects(moves(paths), labels(paths))
    again = removal_effects(moves(twice), labels(paths))
    assert again[0] == pytest.approx(once[0], abs=1e-12)
    assert again[1] == pytest.approx(once[1], abs=1e-12)


def rate(paths: list[Path], allowed: set[str]) -> Fraction:
    inside = [won for route, won in paths if set(route) <= allowed]
    return Fraction(sum(inside), len(inside)) if inside else Fraction(0)


def grouped(paths: list[Path]) -> list[tuple[frozenset[Label], int, int]]:
    return [(frozenset(route), int(won), 1) for route, won in paths]


@settings(max_examples=40, deadline=None)
@given(PATHS)
def test_shapley_is_the_average_over_all_orders_and_shares_out_everything(
    paths: list[Path],
) -> None:
    players = labels(paths)
    found = shapley_of_rates(grouped(paths), list(players))
    orders = list(permutations(players))
    for player in players:
        added = Fraction(0)
        for order in orders:
            before = set(order[: order.index(player)])
            added += rate(paths, before | {player}) - rate(paths, before)
        assert found[player] == pytest.approx(float(added / len(orders)), abs=1e-12)
    assert sum(found.values()) == pytest.approx(float(rate(paths, set(players))), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(PATHS, st.randoms(use_true_random=False))
def test_names_of_channels_do_not_matter(paths: list[Path], chance: random.Random) -> None:
    players = labels(paths)
    names = [*players]
    chance.shuffle(names)
    renamed = dict(zip(players, names, strict=True))
    other = [(tuple(renamed[one] for one in route), won) for route, won in paths]
    effects = removal_effects(moves(paths), list(players))[1]
    rates = shapley_of_rates(grouped(paths), list(players))
    effects_of_other = removal_effects(moves(other), list(labels(other)))[1]
    rates_of_other = shapley_of_rates(grouped(other), list(labels(other)))
    for player in players:
        assert effects_of_other[renamed[player]] == pytest.approx(effects[player], abs=1e-12)
        assert rates_of_other[renamed[player]] == pytest.approx(rates[player], abs=1e-12)


def test_channels_that_are_alike_get_the_same_and_one_that_adds_nothing_gets_nothing() -> None:
    alike: list[Path] = [(("A", "X"), True), (("B", "X"), True), (("X",), False)]
    rates = shapley_of_rates(grouped(alike), ["A", "B", "X"])
    assert rates["A"] == pytest.approx(rates["B"], abs=1e-15)
    # N is on half of each kind of path, so that with it as many convert as without it.
    null: list[Path] = [
        (route + more, won)
        for route, won in [(("A",), True), (("A",), False), (("B",), True), (("A", "B"), True)]
        for more in ((), ("N",))
    ]
    null += [(("N",), True), (("N",), False)]
    worth = shapley_of_rates(grouped([(r, w) for r, w in null if r != ("N",)]), ["A", "B", "N"])
    assert worth["N"] == pytest.approx(0, abs=1e-15)


def test_thirteen_channels_are_refused_and_twelve_are_not() -> None:
    twelve = [chr(65 + n) for n in range(12)]
    found = shapley_of_rates([(frozenset(twelve), 1, 1)], list(twelve))
    assert sum(found.values()) == pytest.approx(1, abs=1e-9)
    with pytest.raises(ValueError, match="13 channels"):
        shapley_of_rates([], [*twelve, "M"])


def test_nobody_converts_nobody_comes() -> None:
    assert removal_effects(moves([(("A",), False)]), ["A"]) == (0.0, {"A": 0.0})
    assert removal_effects({}, []) == (0.0, {})
    assert shapley_of_rates([], []) == {}
