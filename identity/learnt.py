"""What one run of matching has learnt, as it is kept: PURE, and without Splink.

So whoever explains a pair weighs it as the worker did, where Splink may not be loaded.
"""

import json
from hashlib import sha256

import msgspec

from identity.likeness import BLOCKING, COMPARISONS, IDENTICAL, PEOPLE, labels_of
from identity.mixture import Shares
from identity.nicknames import NICKNAMES

#: So many bits below the merge threshold what is joined stays so. Each whole run learns anew: of
#: 2,763 matches that rested on names 55 came and went within eight of them.
SLACK = 0.5
#: By which rules records are found: after an upgrade that changes one, keys are made anew.
#: Sorted, since pet names come in another order in every process.
KEYED = sha256(
    json.dumps([BLOCKING, IDENTICAL, PEOPLE, NICKNAMES], sort_keys=True).encode()
).hexdigest()[:16]  # fmt: skip


class Names(msgspec.Struct, frozen=True):
    """How frequent names are: of those that several people bear, and how many people there are."""

    people: int
    frequencies: dict[str, float]


class Learnt(msgspec.Struct, frozen=True):
    """What was learnt from many records, to score new ones by; of no single person."""

    records: int
    shares: Shares
    names: dict[str, Names]
    #: Values that placeholders and switchboards share, by field, as numbers.
    shared: dict[str, list[int]]
    #: How many records may share a blocking key of a rule for it to be used.
    most: dict[str, int]
    #: The merge threshold that these records afford (`affordable`), where they say little.
    merge: float | None = None
    #: `KEYED` of when it was learnt.
    keyed: str = KEYED


def in_force(learnt: Learnt | None, usual: float, lowest: float) -> float:
    """Return the merge threshold: the usual one, or what the records afford, but no lower."""
    if learnt is None or learnt.merge is None:
        return usual
    return min(usual, max(lowest, learnt.merge))


def stays(auto: float, slack: float = SLACK) -> float:
    """Return the probability from which on what is joined stays so, `slack` bits below `auto`."""
    return auto / (auto + (1 - auto) * 2**slack)


def read(kept: object) -> Learnt | None:
    """Return what was kept as built-in values, or None if another version of this program did.

    Shares of other degrees of agreement than those of now say nothing, and records of then are
    found by other keys.
    """
    try:
        learnt = msgspec.convert(kept, Learnt)
    except msgspec.ValidationError:
        return None
    known = (
        isinstance(kept, dict)
        and kept.get("keyed") == KEYED
        and all(
            name in COMPARISONS and learnt.shares.levels.get(name) == labels_of(name)
            for name in learnt.shares.m
        )
    )
    return learnt if known else None


#: The columns whose frequent values count for less, and how frequent a value is on no data at all.
FREQUENCIES = {"first_name": 0.004, "last_name": 0.002}
# A rare name never counts as rarer than 1 in 10,000; on few records the shipped frequency rules.
_TF_LEAST = 1e-4
_TF_PSEUDO_RECORDS = 200.0


def frequency_sql(column: str, people: str, total: str) -> str:
    """Write how frequent a name is that so many of all people bear, as SQL."""
    return (
        f"greatest({_TF_LEAST}, ({people} - 1 + {_TF_PSEUDO_RECORDS} * {FREQUENCIES[column]})"
        f" / ({total} - 1 + {_TF_PSEUDO_RECORDS}))"
    )


def renewed_sql(known: str, people: int, bearers: str, total: str) -> str:
    """Write how frequent a name is once `total` new people came, of whom so many bear it, as SQL.

    `known` is how frequent it was among the `people` before: so it is what it would be among all.
    """
    before = people - 1 + _TF_PSEUDO_RECORDS
    return f"(({known}) * {before} + {bearers}) / ({before} + {total})"
