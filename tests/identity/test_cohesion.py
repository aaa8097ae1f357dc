"""The weakest links of a person: bridges first, else the least cut, held against brute force."""

import random
from itertools import combinations

from identity import cohesion


def parts(members: list[int], links: list[tuple[int, int, int]], without: set[int]) -> int:
    parent = {i: i for i in members}

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for link, left, right in links:
        if link not in without:
            parent[root(left)] = root(right)
    return len({root(i) for i in members})


def test_of_two_bridges_the_weaker_is_told_and_what_would_leave() -> None:
    links = [(1, 10, 11), (2, 11, 12), (3, 12, 10), (4, 12, 13), (5, 13, 14)]
    cut = cohesion.weakest([10, 11, 12, 13, 14], links)
    assert cut is not None
    assert cut.links == (5,)
    assert cut.part in ({14}, {10, 11, 12, 13})


def test_two_links_between_two_are_no_bridge() -> None:
    cut = cohesion.weakest([1, 2], [(7, 1, 2), (8, 1, 2)])
    assert cut is not None
    assert cut.links == (7, 8)


def test_one_alone_hangs_on_nothing_and_a_chain_of_thousands_needs_no_stack() -> None:
    assert cohesion.weakest([1], []) is None
    chain = [(n, n, n + 1) for n in range(5_000)]
    cut = cohesion.weakest(range(5_001), chain)
    assert cut is not None
    assert cut.links == (4_999,)


def test_random_people_fall_apart_by_as_few_links_as_any_search_finds() -> None:
    dice = random.Random(5)  # noqa: S311 -- a seeded test, no secret
    cuts = set()
    for _ in range(300):
        members = list(range(dice.randint(2, 6)))
        links = [(100 + n, n, n + 1) for n in range(len(members) - 1)]
        for n in range(dice.randint(0, 6)):
            left, right = dice.sample(members, 2)
            links.append((200 + n, left, right))
        dice.shuffle(links)
        ids = [link for link, *_ in links]
        size, least = next(
            (size, found)
            for size in range(1, len(links) + 1)
            if (found := [set(c) for c in combinations(ids, size)
                          if parts(members, links, set(c)) > 1])
        )  # fmt: skip
        cut = cohesion.weakest(members, links)
        assert cut is not None
        assert set(cut.links) in least
        # Among as few links the ones later in the order, which are the weaker, go first.
        rank = {link: place for place, link in enumerate(ids)}
        assert sum(map(rank.__getitem__, cut.links)) == max(
            sum(map(rank.__getitem__, found)) for found in least
        )
        cuts.add(size)
    assert {1, 2, 3} <= cuts


def test_the_path_between_two_is_the_shortest() -> None:
    links = [(1, 1, 2), (2, 2, 3), (3, 3, 4), (4, 1, 3)]
    assert cohesion.path(links, 1, 4) == [4, 3]
    assert cohesion.path(links, 1, 1) == []
    assert cohesion.path(links, 1, 9) == []
