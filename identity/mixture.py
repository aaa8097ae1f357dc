"""What is learnt from the data at hand: three kinds of pairs, and how often each agrees.

PURE: an EM over agreement patterns for the mixture of matches (m), people of one household (h) and
strangers (u), held near what is shipped (`likeness`) as far as data can mislead it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from identity.likeness import labels_of, levels_of

# The shipped u, and the shipped m and h, weigh as much as this many observed pairs.
_U_PSEUDO_PAIRS = 2_000.0
_PSEUDO_PAIRS = 100.0
# How far a learnt m may leave the shipped one: where households are found, and where next to none
# are. Unbounded, EM takes households for matches: on pseudopeople it set "first name different" to
# .47 of all matches, and precision fell from .95 to .84. Where there are none nothing else explains
# first names that differ, and the narrow bound calls careless typing two people (Febrl 3: pairs at
# even odds were matches in 99 of 100 cases).
_M_REACH = {"first_name": (1.5, 4.0), "birth_date": (8.0, 16.0), "birth_year": (8.0, 16.0)}
_M_REACH_ELSE = (4.0, 8.0)
# Of fathers and sons of one name all else agrees too: EM takes them for matches whose date is wrong
# (.041 of all, as .005 is shipped, on a town where sons are called so, and none came apart).
_M_REACH_LEVEL = {"generation apart": (1.5, 4.0)}
# A household among fifty matches halves the freedom, and so do no more matches than this.
_MATCHES_PER_HOME = 50.0
_FREE_PSEUDO_MATCHES = 200.0
# And a learnt h. How often twins are born is no matter of the data, and letting it be one explains
# matches whose first name is wrong by households of twins (Febrl 3 without ids: recall .97 -> .85).
# How often a household shares an e-mail, a phone or, in tax records, a number is one: of pairs of
# pseudopeople around the merge threshold .64 were matches where .85 was said, with h learnt .85.
_H_MOVES = {"first_name": 1.2, "birth_date": 1.0, "birth_year": 1.0}
_H_MOVES_ELSE = 8.0
# Households are not assumed rare beside few matches: data without any has nothing to show them by,
# and then one twin merges. Beside many the data has shown whether it has some: with this floor at
# any size, pairs of Febrl 3 and 4 at even odds were matches in 99 of 100 cases (F1 .989, now .994).
_HOME_LEAST = 0.5
_HOME_PSEUDO_MATCHES = 50.0
# An agreement pattern: (comparison, level) reached, 2 ** -(bits that rare names add), pair count.
Patterns = list[tuple[list[tuple[str, int]], float, int]]
_Shares = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected pairs per level, and in all, under a model."""

    matches: _Shares
    homes: _Shares
    strangers: _Shares
    match_sum: float
    home_sum: float


def _blend(counts: Sequence[float], shipped: Sequence[float], weight: float) -> list[float]:
    """Return shares of counts, in which the shipped shares weigh as `weight` observations."""
    total = sum(counts) + weight * sum(shipped)
    return [(n + weight * s) / total for n, s in zip(counts, shipped, strict=True)]


def _reach(name: str, label: str) -> tuple[float, float]:
    return _M_REACH_LEVEL.get(label) or _M_REACH.get(name, _M_REACH_ELSE)


def _moved(
    counts: Sequence[float], shipped: Sequence[float], reach: Sequence[float]
) -> list[float]:
    """Return shares of counts that leave no shipped share by more than a factor of its `reach`.

    What those that would lack or exceed is the others', so that all remain a whole.
    """
    whole = sum(shipped)
    moved = [share * whole for share in _blend(counts, shipped, _PSEUDO_PAIRS)]
    for _ in shipped:
        bound = [
            min(max(m, old / most), old * most)
            for m, old, most in zip(moved, shipped, reach, strict=True)
        ]
        free = sum(b for m, b in zip(moved, bound, strict=True) if m == b)
        left = whole - sum(bound) + free
        if moved == bound or not free or left <= 0:
            break
        moved = [b * left / free if m == b else b for m, b in zip(moved, bound, strict=True)]
    return bound


def _swapped_shipped() -> float:
    return next(level.u for level in levels_of("first_name") if level.label == "swapped")


class Shares(msgspec.Struct, frozen=True):
    """What a model has learnt, as it is kept: m, h, u per comparison and level, and the priors.

    `levels` are the labels of the degrees of agreement that these are shares of.
    """

    levels: dict[str, list[str]]
    m: dict[str, list[float]]
    h: dict[str, list[float]]
    u: dict[str, list[float]]
    match: float
    home: float


class Model:
    """What is learnt from the data at hand: m, h, u and how many matches and household pairs."""

    def __init__(self, present: Sequence[str]) -> None:
        """Start from the shipped shares of the comparisons that can speak."""
        self.present = present
        self.m: _Shares = {name: [level.m for level in levels_of(name)] for name in present}
        self.h: _Shares = {name: [level.h for level in levels_of(name)] for name in present}
        self.u: _Shares = {name: [level.u for level in levels_of(name)] for name in present}
        self.share = self.home_share = 1e-4
        self._swapped_at_most = 1.0

    @classmethod
    def of(cls, shares: Shares) -> "Model":
        """Return the model that has learnt this."""
        model = cls(list(shares.m))
        model.m, model.h, model.u = dict(shares.m), dict(shares.h), dict(shares.u)
        model.share, model.home_share = shares.match, shares.home
        return model

    def shares(self) -> Shares:
        """Return what it has learnt."""
        levels = {name: labels_of(name) for name in self.m}
        return Shares(levels, self.m, self.h, self.u, self.share, self.home_share)

    def expect(self, patterns: Patterns) -> Expected:
        """Say how many pairs of each pattern are matches, household pairs and strangers."""
        matches = {name: [0.0] * len(m) for name, m in self.m.items()}
        homes = {name: [0.0] * len(h) for name, h in self.h.items()}
        strangers = {name: [0.0] * len(u) for name, u in self.u.items()}
        match_sum = home_sum = 0.0
        for spoken, rarity, count in patterns:
            match, home = self.share, self.home_share
            stranger = (1.0 - match - home) * rarity
            for name, i in spoken:
                match *= self.m[name][i]
                home *= self.h[name][i]
                stranger *= self.u[name][i]
            each = count / (match + home + stranger)
            match_sum += each * match
            home_sum += each * home
            for name, i in spoken:
                matches[name][i] += each * match
                homes[name][i] += each * home
                strangers[name][i] += each * stranger
        return Expected(matches, homes, strangers, match_sum, home_sum)

    def most_gain(self, name: str, level: int) -> float:
        """Return how many bits more than by the shipped m an agreement may weigh once m is learnt.

        Which pairs can reach a threshold is told by it before anything is learnt from them.
        """
        told = levels_of(name)[level]
        _, widest = _reach(name, told.label)
        return math.log2(min(widest, 1 / told.m))

    @staticmethod
    def most_share(records: int) -> float:
        """Return how many of all pairs are matches at most: some twenty records a person."""
        return 10 / (records + 100)

    def learn_shares(self, expected: Expected, pairs: float, records: int) -> None:
        """Make the prior consistent with the posteriors, within bounds that hold for any data.

        Unbounded, it runs to 0 on clean data and to 1 on tiny data (Splink's own estimate of it
        returns 0 on small data, and predict() then dies).
        """
        low, high = 0.1 / (records + 100), self.most_share(records)
        self.share = min(max(expected.match_sum / pairs, low), high)
        unseen = _HOME_PSEUDO_MATCHES / (_HOME_PSEUDO_MATCHES + expected.match_sum)
        least = _HOME_LEAST * self.share * unseen
        self.home_share = min(max(expected.home_sum / pairs, least), high)

    def bound_swaps(self, crossed: float) -> None:
        """Bound how often strangers have names swapped, by how often one name alone is crossed.

        Names of strangers are crossed independently, so twice hardly ever. Where the last name says
        nothing beyond it, EM takes the matches that have swapped names for strangers (fake_1000: u
        of 8e-4 instead of 5e-6, and pairs of a probability of .01 were matches in 95 of 100 cases).
        """
        self._swapped_at_most = max(2 * (crossed / 2) ** 2, _swapped_shipped())

    def learn_strangers(self, expected: Expected) -> None:
        """Set u; a level that was never seen gets half an observation, not an invented share."""
        for name, seen in expected.strangers.items():
            least = 0.5 / max(sum(seen), 1.0)
            learnt = _blend(seen, [level.u for level in levels_of(name)], _U_PSEUDO_PAIRS)
            self.u[name] = [
                max(u, min(least, level.u), level.least_u)
                for u, level in zip(learnt, levels_of(name), strict=True)
            ]
        if "first_name" in self.u:
            at = labels_of("first_name").index("swapped")
            self.u["first_name"][at] = min(self.u["first_name"][at], self._swapped_at_most)

    def learn_matches(self, expected: Expected) -> None:
        """Move m towards this data's matches: how noisy its names, dates and addresses are."""
        held = _FREE_PSEUDO_MATCHES + _MATCHES_PER_HOME * expected.home_sum
        free = expected.match_sum / (expected.match_sum + held)
        for name, seen in expected.matches.items():
            shipped = [level.m for level in levels_of(name)]
            reach = [
                narrow + (wide - narrow) * free
                for narrow, wide in (_reach(name, label) for label in labels_of(name))
            ]
            self.m[name] = _moved(seen, shipped, reach)

    def learn_homes(self, expected: Expected) -> None:
        """Move h towards this data's households: what their members share."""
        for name, seen in expected.homes.items():
            shipped = [level.h for level in levels_of(name)]
            reach = [_H_MOVES.get(name, _H_MOVES_ELSE)] * len(shipped)
            self.h[name] = _moved(seen, shipped, reach)
