"""The Merkle tree of RFC 9162 section 2.1, of which every eighth level is kept.

As in C2SP tlog-tiles: the hashes of a level are kept by groups of 256, and the seven levels above
them are computed. So what is kept is only ever added to, a proof reads at most 256 hashes of each
kept level on the way, and a million entries have three of those.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from consent.ledger.check import node_hash

#: Kept are levels 0, 8, 16 and so on, each in groups of so many hashes.
HEIGHT = 8
WIDTH = 1 << HEIGHT
#: The root of no entries: the hash of nothing.
EMPTY = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

#: Returns the hashes of a kept level: (level, first, count).
Fetch = Callable[[int, int, int], Sequence[bytes]]
#: A hash of a kept level: (level, index, hash).
Node = tuple[int, int, bytes]


def inclusion(index: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of entries whose subtrees prove that one is there (section 2.1.3.1)."""
    low, high, found = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency(old: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges that prove that a tree begins with an older one (section 2.1.4.1)."""
    low, high, found = 0, size, []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    if low:
        found.append((low, high))
    return found[::-1]


def _split(count: int) -> int:
    """Return the largest power of two that is smaller than the count."""
    return 1 << ((count - 1).bit_length() - 1)


def complete(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield the complete subtrees (level, index) that make up a range, from left to right."""
    while low < high:
        level = (high - low).bit_length() - 1
        if low:
            level = min(level, (low & -low).bit_length() - 1)
        yield level, low >> level
        low += 1 << level


class Tree:
    """A tree of a size, read from its kept hashes; each group of them is read once."""

    def __init__(self, size: int, fetch: Fetch) -> None:
        """`fetch` reads kept hashes."""
        self.size = size
        self._fetch = fetch
        self._groups: dict[tuple[int, int], Sequence[bytes]] = {}

    def root(self, size: int | None = None) -> bytes:
        """Return the root, of all entries or of the first so many."""
        size = self.size if size is None else size
        return self.range(0, size) if size else EMPTY

    def range(self, low: int, high: int) -> bytes:
        """Return the hash of a range of a proof (MTH of section 2.1.1)."""
        found = [self.node(*place) for place in complete(low, high)]
        root = found.pop()
        while found:
            root = node_hash(found.pop(), root)
        return root

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree."""
        above = level % HEIGHT
        first = index << above
        group = self._group(level - above, first // WIDTH)
        place = first % WIDTH
        return _fold(group[place : place + (1 << above)])

    def edge(self, level: int) -> Sequence[bytes]:
        """Return the hashes of a kept level that are in no full group yet."""
        count = self.size >> level
        return self._group(level, count // WIDTH) if count % WIDTH else ()

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Return the proof that the entry is in the tree of that size."""
        return [self.range(*part) for part in inclusion(index, size)]

    def consistency_proof(self, old: int, size: int) -> list[bytes]:
        """Return the proof that the tree of one size begins with that of a smaller one."""
        return [self.range(*part) for part in consistency(old, size)]

    def _group(self, level: int, number: int) -> Sequence[bytes]:
        found = self._groups.get((level, number))
        if found is None:
            first = number * WIDTH
            count = min(WIDTH, (self.size >> level) - first)
            found = self._groups[level, number] = self._fetch(level, first, count)
        return found


def _fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a complete subtree."""
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[i : i + 2]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def grow(tree: Tree, leaves: Sequence[bytes]) -> tuple[list[Node], "Tree"]:
    """Return what is to be kept above new leaves, and the tree with them."""
    size, new = tree.size + len(leaves), dict[tuple[int, int], bytes]()
    kept: list[Node] = []
    level, first, added = 0, tree.size, list(leaves)
    while added:
        new.update(((level, first + i), found) for i, found in enumerate(added))
        edge = list(tree.edge(level))
        whole = edge + added
        start = first - len(edge)
        added = [_fold(whole[i : i + WIDTH]) for i in range(0, len(whole) - WIDTH + 1, WIDTH)]
        level, first = level + HEIGHT, start // WIDTH
        kept += [(level, first + i, found) for i, found in enumerate(added)]

    def fetch(level: int, first: int, count: int) -> Sequence[bytes]:
        before = max(0, min(count, (tree.size >> level) - first))
        old = tree._group(level, first // WIDTH)[:before] if before else ()
        return [*old, *(new[level, i] for i in range(first + before, first + count))]

    return kept, Tree(size, fetch)


class Running:
    """The tree of entries that come one after the other, with its root after each."""

    def __init__(self) -> None:
        """Begin with no entries."""
        self.size = 0
        self._parts: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> Iterable[Node]:
        """Add an entry and return the subtrees of kept levels that it completes."""
        level, found, kept = 0, leaf, []
        while self._parts and self._parts[-1][0] == level:
            found = node_hash(self._parts.pop()[1], found)
            level += 1
            if level % HEIGHT == 0:
                kept.append((level, self.size >> level, found))
        self._parts.append((level, found))
        self.size += 1
        return kept

    def root(self) -> bytes:
        """Return the root of what was added."""
        if not self._parts:
            return EMPTY
        root = self._parts[-1][1]
        for _, part in reversed(self._parts[:-1]):
            root = node_hash(part, root)
        return root
