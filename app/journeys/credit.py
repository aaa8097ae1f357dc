"""What each channel is due, from how people went on and where it ended; pure, solved exactly.

Markov: an absorbing chain of first order (Anderl, Becker, von Wangenheim and Schumann 2016), solved
as a linear system instead of simulated. Shapley (1953): the average of what a channel adds over all
orders in which channels could join.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import factorial, fsum

#: States of the chain that are no channel.
START, CONVERTED, LOST = "start", "converted", "lost"

#: Channels up to which the game of rates is solved: 2^12 coalitions.
MOST_PLAYERS = 12

Label = str | None
#: How often one state was followed by another. A channel is (label,), so that none is a state.
Moves = Mapping[tuple[tuple[Label] | str, tuple[Label] | str], int]


def removal_effects(moves: Moves, labels: Sequence[Label]) -> tuple[float, dict[Label, float]]:
    """Return the share of paths that convert, and by which share fewer would without each channel.

    Without a channel whoever comes to it is lost: 1 - P(converted | removed) / P(converted), which
    is P(ever there) x P(converted | there) / P(converted). With no conversion every effect is 0.
    """
    size = len(labels)
    rows = [_shares(moves, (label,)) for label in labels]
    matrix = [
        [(1.0 if i == j else 0.0) - rows[i].get((labels[j],), 0.0) for j in range(size)]
        for i in range(size)
    ]
    inverse = _inverse(matrix)
    converts = [
        fsum(inverse[i][j] * rows[j].get(CONVERTED, 0.0) for j in range(size)) for i in range(size)
    ]
    begin = _shares(moves, START)
    begins = [begin.get((label,), 0.0) for label in labels]
    visits = [fsum(begins[i] * inverse[i][j] for i in range(size)) for j in range(size)]
    share = fsum(begins[i] * converts[i] for i in range(size))
    if not share:
        return 0.0, dict.fromkeys(labels, 0.0)
    return share, {
        label: visits[j] / inverse[j][j] * converts[j] / share for j, label in enumerate(labels)
    }


def _shares(moves: Moves, state: tuple[Label] | str) -> dict[tuple[Label] | str, float]:
    """Where one goes from a state, as shares; going on to the same one is no move."""
    out = {two: n for (one, two), n in moves.items() if one == state and two != state}
    total = sum(out.values())
    return {two: n / total for two, n in out.items()} if total else {}


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Gauss-Jordan with the largest pivot; the matrix of a chain that always ends has an inverse.

    Of 100 channels, the most there are, it takes 0.1 s: no reason for a library of matrices.
    """
    size = len(matrix)
    work = [[*row, *(1.0 if i == j else 0.0 for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(work[row][column]))
        work[column], work[pivot] = work[pivot], work[column]
        lead = work[column][column]
        top = work[column] = [value / lead for value in work[column]]
        for row in range(size):
            factor = work[row][column]
            if row != column and factor:
                work[row] = [a - factor * b for a, b in zip(work[row], top, strict=True)]
    return [row[size:] for row in work]


def shapley_of_rates(
    paths: Iterable[tuple[frozenset[Label], int, int]], labels: Sequence[Label]
) -> dict[Label, float]:
    """Return each channel's part of the share that converts, from (channels, converted, paths).

    A coalition is worth the share that converts among paths whose channels all lie in it, nothing
    where there are none. A channel may be worth less than nothing. Raises ValueError beyond
    MOST_PLAYERS channels.
    """
    size = len(labels)
    if size > MOST_PLAYERS:
        raise ValueError(f"{size} channels; the game is solved for {MOST_PLAYERS} at most")
    place = {label: 1 << number for number, label in enumerate(labels)}
    converted, total = [0] * (1 << size), [0] * (1 << size)
    for members, won, n in paths:
        mask = sum(place[label] for label in members)
        converted[mask] += won
        total[mask] += n
    for bit in place.values():  # sums over all subsets, a channel at a time
        for mask in range(1 << size):
            if mask & bit:
                converted[mask] += converted[mask ^ bit]
                total[mask] += total[mask ^ bit]
    worth = [won / n if n else 0.0 for won, n in zip(converted, total, strict=True)]
    chance = [
        factorial(before) * factorial(size - before - 1) / factorial(size) for before in range(size)
    ]
    found = {}
    for label, bit in place.items():
        others = [one for one in place.values() if one != bit]
        found[label] = fsum(
            chance[before] * (worth[sum(joined) | bit] - worth[sum(joined)])
            for before in range(size)
            for joined in combinations(others, before)
        )
    return found
