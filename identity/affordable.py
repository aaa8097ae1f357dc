"""How low the merge threshold may be where records say little: PURE.

There most true pairs are merely likely, and a threshold that each single pair has to reach leaves
them apart although nearly all that is joined would be right. So it may fall as long as of all pairs
of records that are made one person enough are right, by the model's own account.
"""

from collections.abc import Iterable, Iterator

#: Records of which no pair speaks in more comparisons say little.
FEW = 3
#: So do those of whose matches, by the model's own account, the usual threshold finds fewer than
#: this share, if there are so many: a census with ages has four comparisons, and .39 of its matches
#: are in doubt. Of few records the account is wrong (the Senzing truth set: .68, and it is .87).
FOUND = 0.75
ENOUGH = 500
#: Of the pairs of records that are made one person so many are to be right. It is a cautious
#: account: who is joined by several ways counts by the likeliest alone.
RIGHT = 0.92
#: So many wrong ones are taken for granted: a few pairs promise nothing.
UNSEEN = 10.0
#: By so much the threshold is lowered at a time.
STEP = 0.01


def says_little(most: int, found: float, matches: float) -> bool:
    """Say whether records say little: in how many comparisons pairs speak at `most`, and how many
    of the expected `matches` are `found` at the usual threshold.
    """
    return most <= FEW or (matches >= ENOUGH and found < FOUND * matches)


def affordable(pairs: Iterable[tuple[int, int, float]], usual: float, lowest: float) -> float:
    """Return the lowest threshold, between the two, at which enough would be right.

    `pairs` are (left, right, probability), the likelier first, from `lowest` on. Joining two groups
    makes as many pairs as there are records in both, multiplied, each as likely as what joins them.
    """
    joined, right = _Joined(), 0.0
    every = iter(pairs)
    following = next(every, None)
    found = usual
    for threshold in _steps(usual, lowest):
        while following is not None and following[2] >= threshold:
            right += following[2] * joined.join(following[0], following[1])
            following = next(every, None)
        if right < RIGHT * (joined.pairs + UNSEEN):
            break
        found = threshold
    return found


def _steps(usual: float, lowest: float) -> Iterator[float]:
    yield usual
    for step in range(1, int((usual - lowest) / STEP + 1e-9) + 1):
        yield round(usual - STEP * step, 6)


class _Joined:
    """Groups of records, and how many pairs of records are in one."""

    def __init__(self) -> None:
        self.pairs = 0
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}

    def join(self, one: int, other: int) -> int:
        """Make two groups one; return how many pairs that makes."""
        a, b = self._root(one), self._root(other)
        if a == b:
            return 0
        here, there = self._size.pop(a, 1), self._size.pop(b, 1)
        larger, smaller = (a, b) if here >= there else (b, a)
        self._parent[smaller] = larger
        self._size[larger] = here + there
        self.pairs += here * there
        return here * there

    def _root(self, i: int) -> int:
        parent = self._parent
        while (above := parent.get(i)) is not None:
            if (beyond := parent.get(above)) is not None:
                parent[i] = beyond
            i = above
        return i
