"""Whether two records name two people: PURE."""

from difflib import SequenceMatcher
from functools import lru_cache

from identity.letters import roman
from identity.nicknames import NICKNAMES
from identity.suffixes import generation

#: First and last name, and birth date.
Name = tuple[str, str | None, str | None]
#: Two names whose letters agree to this share may be one name with typos.
ALIKE = 0.6
# A year of birth alone is many people's.
_YEAR = len("1984")


def is_whole(name: Name) -> bool:
    """Say whether a name is a first and a last one with a whole birth date."""
    return bool(name[1]) and is_date(name[2])


def is_date(born: str | None) -> bool:
    """Say whether a birth date is whole."""
    return len(born or "") > _YEAR


@lru_cache(100_000)  # the same names meet again at each link of their people
def contradict(one: Name, other: Name) -> bool:
    """Say whether two records name two people: other first names, and no equal birth date.

    So do father and son of one name, if a suffix says which is which.

    A nickname, a part of the other, and first and last name in each other's place are no
    contradiction, nor is a name in another script. A typo and an initial are none either, unless
    the last names differ as well: holding them cost .011 of recall on Febrl 3. That two begin with
    the same letter excuses nothing else: of the families behind one e-mail it hid every seventh.
    """
    first, first_last, first_born = one
    second, second_last, second_born = other
    if first_born == second_born and is_date(first_born):
        return False
    ages = {generation(first_last, first), generation(second_last, second)}
    if len(ages - {None}) > 1:
        return True
    first, second = roman(first), roman(second)
    if first.isascii() != second.isascii():
        return False
    if first == roman(second_last or "") or second == roman(first_last or ""):
        return False
    here, there = _called(first), _called(second)
    if not here.isdisjoint(there) or _is_part(first, second):
        return False
    if not _may_be_one(first_last, second_last):
        return True
    if first[:2] == second[:2] or first in second or second in first:
        return False
    if first in _initials(there) or second in _initials(here):
        return False
    return not _alike(first, second)


def _alike(one: str, other: str) -> bool:
    # Which is asked first matters to it: adelaide and sadie are .46 or .62.
    less, more = sorted((one, other))
    return SequenceMatcher(None, less, more).ratio() >= ALIKE


def _is_part(one: str, other: str) -> bool:
    """Say whether the words of one name are all in the other: Luis and Luis Miguel."""
    here, there = set(one.split()), set(other.split())
    return here <= there or there <= here


def _may_be_one(one: str | None, other: str | None) -> bool:
    """Say whether two last names may be one person's who has not married: by letters or a part."""
    if not one or not other:
        return True
    one, other = roman(one), roman(other)
    if one.isascii() != other.isascii():
        return True
    return not set(one.split()).isdisjoint(other.split()) or _alike(one, other)


def _called(name: str) -> set[str]:
    """Return a first name and what it may be short for."""
    return {name, *NICKNAMES.get(name, ())}


def _initials(names: set[str]) -> set[str]:
    return {name[0] for name in names}
