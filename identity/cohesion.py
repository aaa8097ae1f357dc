"""What holds a person together: PURE. The weakest links without which it would fall apart."""

import heapq
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

#: A person of more identifiers is looked through for bridges alone: the other takes n * links.
MOST_FOR_CUTS = 400
#: Strength makes two cuts of as many links differ by less than one link does.
TIE = 0.1


@dataclass(frozen=True, slots=True)
class Cut:
    """The links that would have to go for a person to fall apart, and what would leave."""

    links: tuple[int, ...]
    part: frozenset[int]


def weakest(members: Collection[int], links: Sequence[tuple[int, int, int]]) -> Cut | None:
    """Return the fewest links whose loss splits the members, the weakest among as few.

    `links` are (id, left, right), ordered from the strongest to the weakest. None for who has no
    other member, or is so large and so well held together that nobody waits for the answer.
    Bridges by Tarjan (1974), other cuts by Stoer and Wagner (1997).
    """
    if len(members) < 2:
        return None
    bundles: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for rank, (link, left, right) in enumerate(links):
        bundles.setdefault((min(left, right), max(left, right)), []).append((rank, link))
    near: dict[int, list[int]] = {i: [] for i in members}
    for left, right in bundles:
        near[left].append(right)
        near[right].append(left)
    alone = [
        (bundles[pair][0], pair)
        for pair in _bridges(near)
        if len(bundles[pair]) == 1
    ]  # fmt: skip
    if alone:
        (_, link), (left, right) = max(alone)
        return Cut((link,), _beside(near, right, left))
    if len(members) > MOST_FOR_CUTS:
        return None
    weights = {
        pair: sum(1 + TIE * (1 - rank / len(links)) / len(links) for rank, _ in bundle)
        for pair, bundle in bundles.items()
    }
    part = _least_cut(near, weights)
    gone = [
        link
        for (left, right), bundle in bundles.items()
        if (left in part) != (right in part)
        for _, link in bundle
    ]
    return Cut(tuple(sorted(gone)), frozenset(part))


def path(links: Iterable[tuple[int, int, int]], start: int, end: int) -> list[int]:
    """Return the links that lead from one member to another over the fewest; none if none do."""
    near: dict[int, list[tuple[int, int]]] = {}
    for link, left, right in links:
        near.setdefault(left, []).append((right, link))
        near.setdefault(right, []).append((left, link))
    came: dict[int, tuple[int, int] | None] = {start: None}
    frontier = [start]
    while frontier and end not in came:
        following = []
        for here in frontier:
            for there, link in near.get(here, ()):
                if there not in came:
                    came[there] = here, link
                    following.append(there)
        frontier = following
    steps = []
    back = came.get(end)
    while back is not None:
        steps.append(back[1])
        back = came[back[0]]
    return steps[::-1]


def _beside(near: Mapping[int, Sequence[int]], start: int, without: int) -> frozenset[int]:
    """Return what hangs together with a node when the step to another is not taken."""
    seen, stack = {start}, [start]
    while stack:
        here = stack.pop()
        for there in near[here]:
            if there not in seen and (here, there) != (start, without):
                seen.add(there)
                stack.append(there)
    return frozenset(seen)


def _bridges(near: Mapping[int, Sequence[int]]) -> list[tuple[int, int]]:
    """Return the pairs of neighbours that nothing else connects; iterative, chains are long."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    found = []
    for root in near:
        if root in order:
            continue
        order[root] = low[root] = len(order)
        stack = [(root, -1, iter(near[root]))]
        while stack:
            here, above, rest = stack[-1]
            for there in rest:
                if there == above:
                    continue
                if there in order:
                    low[here] = min(low[here], order[there])
                else:
                    order[there] = low[there] = len(order)
                    stack.append((there, here, iter(near[there])))
                    break
            else:
                stack.pop()
                if stack:
                    low[above] = min(low[above], low[here])
                    if low[here] > order[above]:
                        found.append((min(here, above), max(here, above)))
    return found


def _least_cut(
    near: Mapping[int, Sequence[int]], weights: Mapping[tuple[int, int], float]
) -> set[int]:
    """Return one side of the lightest cut."""
    graph: dict[int, dict[int, float]] = {i: {} for i in near}
    for (left, right), weight in weights.items():
        graph[left][right] = graph[right][left] = weight
    merged = {i: {i} for i in graph}
    best, side = float("inf"), set[int]()
    while len(graph) > 1:
        last, before, weight = _phase(graph)
        if weight < best:
            best, side = weight, set(merged[last])
        for other, shared in graph.pop(last).items():
            del graph[other][last]
            if other != before:
                graph[before][other] = graph[other][before] = graph[before].get(other, 0) + shared
        merged[before] |= merged.pop(last)
    return side


def _phase(graph: Mapping[int, Mapping[int, float]]) -> tuple[int, int, float]:
    """Add the most tightly connected node again and again; return the last two and its weight."""
    start = min(graph)
    tight = dict.fromkeys(graph, 0.0)
    heap: list[tuple[float, int]] = [(0.0, start)]
    added: set[Hashable] = set()
    last = before = start
    weight = 0.0
    while len(added) < len(graph):
        if not heap:  # not connected: the rest hangs together with nothing that was added
            heap = [(0.0, min(i for i in graph if i not in added))]
        tied, here = heapq.heappop(heap)
        if here in added:
            continue
        added.add(here)
        before, last, weight = last, here, -tied
        for there, shared in graph[here].items():
            if there not in added:
                tight[there] += shared
                heapq.heappush(heap, (-tight[there], there))
    return last, before, weight
