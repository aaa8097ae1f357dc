"""Which of several values of a trait survives: the rules an operator may set, and what they need.

The names are those of master data management: the rules of one golden record are its survivorship.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from app.errors import DefinitionInvalid

Name = Literal[
    "latest", "first", "most_frequent", "source_priority", "longest", "max", "min", "union"
]
NAMES: tuple[str, ...] = get_args(Name)
#: Rules that look at every value ever said; the others are content with each source's latest.
COUNTED = frozenset(NAMES) - {"latest", "source_priority"}
#: Longest name of a trait, in bytes: longer ones are no traits but mistakes (`project.py`).
LONGEST_KEY = 512
MOST_SOURCES = 100


@dataclass(frozen=True, slots=True)
class Survivorship:
    """A rule; `sources` are those of `source_priority`, the first of which is believed first."""

    rule: str = "latest"
    sources: tuple[str, ...] = ()


LATEST = Survivorship()


def checked(key: str, rule: str, sources: tuple[str, ...]) -> Survivorship:
    """Return a rule that can be followed; raises DefinitionInvalid."""
    if not key or len(key.encode()) > LONGEST_KEY or "\0" in key:
        raise DefinitionInvalid(f"a trait's name has 1 to {LONGEST_KEY} bytes")
    if rule not in NAMES:
        near = get_close_matches(rule, NAMES, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise DefinitionInvalid(f"rule: one of {', '.join(NAMES)}{meant}")
    if (rule == "source_priority") != bool(sources):
        raise DefinitionInvalid("sources: source_priority names them, and no other rule does")
    if len(set(sources)) < len(sources) or len(sources) > MOST_SOURCES:
        raise DefinitionInvalid(f"sources: at most {MOST_SOURCES}, each once")
    return Survivorship(rule, sources)
