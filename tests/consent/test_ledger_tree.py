"""The tree is that of RFC 6962 and RFC 9162, however it grows, and its JSON that of RFC 8785."""

import hashlib
import json
import random
from collections.abc import Sequence

import pytest

from consent.ledger.canonical import canonical
from consent.ledger.check import ProofInvalid, leaf_hash, root_of_path
from consent.ledger.consistency import check_consistency
from consent.ledger.tree import EMPTY, HEIGHT, Running, Tree, grow

#: transparency-dev/merkle, testonly/constants.go (Apache-2.0): leaves, and the roots of the trees
#: of the first 0 to 8 of them.
LEAVES = [bytes.fromhex(x) for x in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [bytes.fromhex(x) for x in (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)]  # fmt: skip


def reference(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 9162 section 2.1.1 defines it, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    pair = reference(leaves[:k]) + reference(leaves[k:])
    return hashlib.sha256(b"\1" + pair).digest()


class Kept:
    """What the database keeps, in memory, and how often it was asked."""

    def __init__(self) -> None:
        self.levels: dict[int, list[bytes]] = {0: []}
        self.read = 0

    def fetch(self, level: int, first: int, count: int) -> Sequence[bytes]:
        assert level % HEIGHT == 0
        found = self.levels[level][first : first + count]
        assert len(found) == count
        self.read += count
        return found

    def tree(self) -> Tree:
        return Tree(len(self.levels[0]), self.fetch)

    def add(self, leaves: Sequence[bytes]) -> Tree:
        hashes = [leaf_hash(leaf) for leaf in leaves]
        kept, grown = grow(self.tree(), hashes)
        self.levels[0] += hashes
        for level, index, found in kept:
            assert index == len(self.levels.setdefault(level, []))
            self.levels[level].append(found)
        return grown


def test_e59_the_vectors_of_rfc_6962_hold_and_each_proof_of_them_verifies() -> None:
    assert EMPTY == ROOTS[0]
    for size in range(1, 9):
        kept = Kept()
        tree = kept.add(LEAVES[:size])
        assert tree.root() == kept.tree().root() == reference(LEAVES[:size]) == ROOTS[size]
        running = Running()
        for leaf in LEAVES[:size]:
            running.add(leaf_hash(leaf))
        assert running.root() == ROOTS[size]
        for index in range(size):
            path = kept.tree().inclusion_proof(index, size)
            leaf = leaf_hash(LEAVES[index])
            assert root_of_path(leaf, index, size, path) == ROOTS[size]
        for old in range(1, size + 1):
            path = kept.tree().consistency_proof(old, size)
            check_consistency(old, ROOTS[old], size, ROOTS[size], path)


def test_a_tree_that_grows_in_any_steps_is_the_tree_of_its_entries() -> None:
    chance = random.Random(7)  # noqa: S311 -- to repeat a run
    leaves = [str(n).encode() for n in range(70_000)]
    running, roots = Running(), [EMPTY]
    for leaf in leaves:
        running.add(leaf_hash(leaf))
        roots.append(running.root())
    for size in [*range(1, 30), 255, 256, 257, 513, 70_000]:
        assert roots[size] == reference(leaves[:size])
    kept, size = Kept(), 0
    for target in (1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 70_000):
        while size < target:
            step = min(chance.choice([1, 7, 300, 5_000]), target - size)
            grown = kept.add(leaves[size : size + step])
            size += step
            assert grown.root() == roots[size]
        assert kept.tree().root() == roots[size]
    assert {level: len(found) for level, found in kept.levels.items()} == {0: size, 8: 273, 16: 1}
    for small in [1, 256, 65_536, *(chance.randrange(1, size) for _ in range(200))]:
        tree = kept.tree()
        assert tree.root(small) == roots[small]
        proof = tree.consistency_proof(small, size)
        check_consistency(small, roots[small], size, roots[size], proof)
        index = chance.randrange(small)
        path = tree.inclusion_proof(index, small)
        assert root_of_path(leaf_hash(leaves[index]), index, small, path) == roots[small]


def test_a_proof_reads_a_few_hundred_hashes_and_not_the_tree() -> None:
    kept = Kept()
    kept.add([str(n).encode() for n in range(70_000)])
    kept.read = 0
    path = kept.tree().inclusion_proof(12_345, 70_000)
    assert len(path) == 17
    assert kept.read <= 2 * 3 * 256


def test_no_proof_holds_for_another_place_size_root_or_with_another_step() -> None:
    kept = Kept()
    kept.add([str(n).encode() for n in range(100)])
    tree, leaf = kept.tree(), leaf_hash(b"41")
    path, root = tree.inclusion_proof(41, 100), tree.root()

    def leads(index: int, size: int, steps: Sequence[bytes]) -> bool:
        try:
            return root_of_path(leaf, index, size, steps) == root
        except ProofInvalid:
            return False

    assert leads(41, 100, path)
    # Sizes with the same way from this leaf to the root are told apart by the signed root alone.
    assert not any(leads(index, 100, path) for index in range(100) if index != 41)
    assert not any(leads(41, size, path) for size in (0, 41, 42, 64, 200))
    assert not leads(41, 100, path[:-1])
    assert not leads(41, 100, [*path, path[0]])
    assert not leads(41, 100, [path[1], path[0], *path[2:]])
    old, proof = tree.root(60), tree.consistency_proof(60, 100)
    check_consistency(60, old, 100, root, proof)
    for wrong in (
        (60, root, 100, root, proof), (60, old, 100, old, proof), (59, old, 100, root, proof),
        (60, old, 64, root, proof), (60, old, 100, root, proof[:-1]), (60, old, 100, root, []),
        (60, old, 100, root, [*proof, root]), (0, old, 100, root, proof),
        (101, old, 100, root, proof), (100, root, 100, root, [root]),
    ):  # fmt: skip
        with pytest.raises(ProofInvalid):
            check_consistency(*wrong)


def test_json_is_written_as_rfc_8785_says() -> None:
    # RFC 8785 section 3.2.3: names in the order of their UTF-16 units.
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(names))) == order
    # Section 3.2.2.2 and 3.2.3: strings, literals, no blanks.
    said = {"b": '\u20ac$\u000f\nA\'B"\\\\"/', "a": [None, True, False, 0, -7, 2**53 - 1]}
    assert canonical(said).decode() == (
        '{"a":[null,true,false,0,-7,9007199254740991],"b":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    for refused in (2**53, -(2**53), 1.5, float("nan"), "\ud800", {1: 2}, b"x", {"a": {"b": 0.1}}):
        with pytest.raises((ValueError, UnicodeEncodeError)):
            canonical(refused)
