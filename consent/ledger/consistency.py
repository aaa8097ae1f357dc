"""Checks that a ledger only grew: that the tree of one checkpoint begins with that of another."""

from collections.abc import Sequence

from consent.ledger.check import ProofInvalid, node_hash, skip


def check_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Demand that the new tree begins with the old one (RFC 9162 section 2.1.4.2).

    Raises ProofInvalid otherwise.
    """
    if not 0 < old_size <= new_size:
        raise ProofInvalid(f"{old_size} entries are not the beginning of {new_size}")
    if old_size == new_size and not path and old_root == new_root:
        return
    steps = list(path)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if not steps or old_size == new_size:
        raise ProofInvalid("the path has the wrong length")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofInvalid("the path is too long")
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            node, last = skip(node, last)
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    if last or old != old_root or new != new_root:
        raise ProofInvalid("the larger tree does not begin with the smaller one")
