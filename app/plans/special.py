"""Special categories of data (GDPR art. 9): which names of values plans declare to be of one.

A schema says so by the note `x-special-category` at a property. The name then counts wherever it
stands, in events of every source, however it is cased or spaced: a value that is declared once
must not slip in by another door.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from app.plans.subschemas import Fault, Walk

NOTE = "x-special-category"
#: The name of a category: what purposes list in `declared.special_categories`.
CATEGORY = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
#: What a schema says of a name that only sounds like one of them.
NO_CATEGORY = "none"
#: The keyword of a value whose name sounds like one, and which no plan declares.
UNDECLARED = "special_category"
#: What is said of longer names is not remembered: 5,000 of 30 KB were 290 MB.
REMEMBERED_LENGTH = 128
#: Names by normalised form, each with its categories.
Labels = Mapping[str, frozenset[str]]

_HOLDER = re.compile(r"/properties/([^/]+)$")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Words of names that sound like GDPR art. 9(1). They only hint: `race` may be one of cars.
_SOUNDS = frozenset(
    """
    health disease illness diagnosis diagnoses symptom symptoms medication medications medicine
    prescription pregnancy pregnant disability disabilities allergy allergies hiv
    religion religious faith belief beliefs church denomination ethnicity ethnic race racial
    politics political party union sexuality sexual genetic genetics dna biometric biometrics
    """.split()
)
_SOUND_TOGETHER = frozenset({("blood", "type"), ("blood", "group"), ("sex", "life")})
_NEVER_ALONE = frozenset({"union", "party", "belief", "beliefs", "race"})
_ALONE = [[word] for word in ("race", "belief", "beliefs")]
_WITH = frozenset({"trade", "labour", "labor", "political", "membership", "member", "religious"})


def normalised(name: str) -> str:
    """Return a name without what spellings differ in: `bloodType` is `Blood-Type`."""
    return _stripped(name) if len(name) <= REMEMBERED_LENGTH else stripped(name)


def stripped(text: str) -> str:
    """Return the letters and digits of a text, in one case."""
    return "".join(filter(str.isalnum, text.casefold()))


_stripped = lru_cache(50_000)(stripped)


def suspicious(name: str) -> bool:
    """Say whether a name sounds like one of a value of a special category."""
    return _remembered(name) if len(name) <= REMEMBERED_LENGTH else _sounds(name)


def _sounds(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
    told = _SOUNDS.intersection(words)
    if told - _NEVER_ALONE or (told and _WITH.intersection(words)) or words in _ALONE:
        return True
    return not _SOUND_TOGETHER.isdisjoint(pairwise(words))


_remembered = lru_cache(50_000)(_sounds)


def labels(schemas: Iterable[Mapping[str, Any]]) -> Labels:
    """Return the names that these schemas declare."""
    found: dict[str, set[str]] = {}
    for wanted in schemas:
        for pointer, node in Walk(wanted).nodes.items():
            holder = _HOLDER.search(pointer)
            if holder is not None and node.get(NOTE, NO_CATEGORY) != NO_CATEGORY:
                name = holder[1].replace("~1", "/").replace("~0", "~")
                found.setdefault(normalised(name), set()).add(node[NOTE])
    return {name: frozenset(categories) for name, categories in found.items()}


def harmless(schemas: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the names of which these schemas say that they are of no special category."""
    return frozenset(
        normalised(holder[1])
        for wanted in schemas
        for pointer, node in Walk(wanted).nodes.items()
        if node.get(NOTE) == NO_CATEGORY and (holder := _HOLDER.search(pointer))
    )


def faults(wanted: Mapping[str, Any]) -> list[Fault]:
    """Return the notes that could not be heeded: those that no property carries by its name."""
    found = []
    for pointer, node in Walk(wanted).nodes.items():
        if NOTE not in node:
            continue
        holder = _HOLDER.search(pointer)
        if holder is None or not normalised(holder[1]):
            found.append(Fault(f"{pointer}/{NOTE}", "stands at a property with a name, alone"))
        elif not isinstance(node[NOTE], str) or not CATEGORY.fullmatch(node[NOTE]):
            found.append(Fault(f"{pointer}/{NOTE}", "is the name of a category: a-z, 0-9, _ . -"))
    return found


def names_in(value: Any) -> Iterator[str]:
    """Yield the names of all members of a value, those within its values too."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
