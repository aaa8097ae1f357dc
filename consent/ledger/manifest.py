"""The manifest of many decisions: each a leaf of a tree of its own, whose root is one entry.

A leaf is canonical JSON with a random key in it. Who has the leaf can show what was decided about
whom; of a leaf that was deleted there is only a hash, which says nothing and lets the others be
proved (research/consent.md 2.8).
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from consent.ledger.canonical import canonical
from consent.ledger.check_send import named
from consent.ledger.tree import Tree, grow

#: The form of leaves; those of form 1 do not tell the intent.
VERSION = "2"
#: Bytes of the key of a leaf.
NONCE = 32


def leaf(said: Mapping[str, Any], identifiers: Collection[str], nonce: bytes) -> str:
    """Return a leaf that says this, and names `namespace:value` identifiers by keyed hashes."""
    whole = {name: value for name, value in said.items() if value is not None}
    whole |= {
        "v": VERSION,
        "nonce": base64.b64encode(nonce).decode(),
        "identifiers": sorted(named(nonce, one) for one in identifiers),
    }
    return canonical(whole).decode()


def tree(hashes: Sequence[bytes]) -> Tree:
    """Return the tree of the hashes of all leaves of a manifest."""
    kept, _ = grow(Tree(0, lambda *_: ()), hashes)
    above = {(level, index): found for level, index, found in kept}

    def fetch(level: int, first: int, count: int) -> Sequence[bytes]:
        if level == 0:
            return hashes[first : first + count]
        return [above[level, first + number] for number in range(count)]

    return Tree(len(hashes), fetch)
