"""How far it reaches what is said of one purpose, or of none by name: the catalogue says which."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consent.purposes import Purpose, below
from consent.signals.stamp import UNIVERSAL


@dataclass(frozen=True, slots=True)
class Reach:
    """By what signals are read: the `known` purposes, and what else a refusal refuses.

    What lies `below` each, and what `universal` opt-outs are about, now or by what is announced.
    """

    known: frozenset[str]
    below: Mapping[str, frozenset[str]]
    universal: frozenset[str]


def reach(known: Iterable[str], states: Iterable[Mapping[str, Purpose]]) -> Reach:
    """Return how far signals reach, by the purposes in effect and how all are now and will be."""
    trees, keys = list(states), frozenset(known)
    return Reach(
        keys,
        {key: frozenset(k for t in trees for k in below(t.values(), key)) for key in keys},
        universal(trees),
    )


def universal(trees: Iterable[Mapping[str, Purpose]]) -> frozenset[str]:
    """Return the purposes that a universal opt-out refuses, in any of these states.

    Sale, sharing and advertising across contexts, what is allowed in America until somebody opts
    out, and what is below these (CCPA regulations, section 7025).
    """
    states = list(trees)
    first = {
        key
        for tree in states
        for key, purpose in tree.items()
        if key in UNIVERSAL or purpose.regime == "us_optout"
    }
    return frozenset(first).union(*(below(tree.values(), key) for tree in states for key in first))
