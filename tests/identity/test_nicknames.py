"""Pet names: from three lists, each spelled as records are."""

import pytest

from identity.attributes import from_traits
from identity.nicknames import NICKNAMES
from identity.prenoms import PRENOMS


@pytest.mark.parametrize(
    ("short", "usual", "others"),
    [
        ("bob", "robert", set()),
        ("liz", "elizabeth", set()),
        ("alex", "alexander", {"alexandra", "alexandre"}),
        ("manu", "emmanuel", {"emmanuelle"}),
        ("jp", "jean paul", {"jean philippe", "jean pierre"}),
        ("fred", "frederick", {"alfred", "frederic", "frederique"}),
    ],
)
def test_a_pet_name_stands_for_several_names_and_for_one_of_them_mostly(
    short: str, usual: str, others: set[str]
) -> None:
    assert NICKNAMES[short][0] == usual
    assert others <= set(NICKNAMES[short])


def test_every_name_is_spelled_as_records_are() -> None:
    names = {*NICKNAMES, *(longer for names in NICKNAMES.values() for longer in names)}
    for name in names:
        assert from_traits({"first_name": name}).get("first_name", name) == name
    assert len(names) > 2_000


def test_no_name_is_short_for_itself() -> None:
    assert [pet for pet, names in NICKNAMES.items() if pet in names] == []


def test_each_french_line_is_a_name_and_its_pet_names() -> None:
    lines = PRENOMS.strip().split("\n")
    assert len(lines) > 200
    assert all(len(line.split(": ")) == 2 for line in lines)
    assert len({line.split(": ")[0] for line in lines}) == len(lines)
