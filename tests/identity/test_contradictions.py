"""Whose records may be one person's: names that excuse each other, and dates a generation apart."""

import pytest

from identity.components import resolve
from identity.contradictions import contradict
from identity.guards import Edge, Node
from identity.splink_model import score
from tests.identity.test_splink_model import ADA, Person, levels, sure, table, town


@pytest.mark.parametrize(
    ("one", "other", "two_people"),
    [
        # Colleagues behind one switchboard or one address of an office.
        (("bethany", "stephens"), ("b", "barker"), True),
        (("denis", "willis"), ("denise", "mellor"), True),
        (("gerard", "hill"), ("geraldine", "cooper"), True),
        # One of the two names misspelt, shortened or changed by a marriage.
        (("bethany", "stephens"), ("b", "stephens"), False),
        (("denis", "willis"), ("denise", "willis"), False),
        (("denise", "willis"), ("denise", "mellor"), False),
        (("kate", "willis"), ("katherine", "mellor"), False),
        (("denis", "willis"), ("denise", "wilis"), False),
        (("denis", "willis"), ("denise", "mellor willis"), False),
        (("denis", "willis"), ("denise", None), False),
        (("ana", "garcia"), ("maria ana", "lopez"), False),
        (("сергей", "иванов"), ("sergey", "ivanov"), False),
    ],
)
def test_an_initial_or_a_beginning_excuses_nothing_where_the_last_names_differ_too(
    one: tuple[str, str], other: tuple[str, str | None], two_people: bool
) -> None:
    left, right = (*one, None), (*other, None)
    assert contradict(left, right) is contradict(right, left) is two_people


@pytest.mark.parametrize("short", ["luis", "miguel"])
def test_a_part_of_a_compound_name_is_no_other_name(short: str) -> None:
    whole: Person = {**ADA, "first_name": "luis miguel", "phone": None, "email": None}
    assert levels(whole, {**whole, "first_name": short})["first_name"] in ("part", "close")
    moved = {**whole, "first_name": short, "address": None, "postcode": None}
    assert (120, 121) in sure(score(table([*town(120), whole, moved])))
    other = {**moved, "first_name": "jose"}
    assert (120, 121) not in sure(score(table([*town(120), whole, other])))


def test_father_and_son_of_one_name_and_one_home_are_two() -> None:
    """EM took them for one person whose date is wrong, wherever a town calls its sons so."""
    families: list[Person] = []
    for number, father in enumerate(town(300)):
        last = f"{father['last_name']}{'abcdefghij'[number % 10]}x"
        home: Person = {**father, "last_name": last, "email": None}
        if number < 60:
            families.append({**home, "birth_date": f"1955-0{number % 9 + 1}-11"})
            families.append({**home, "birth_date": f"1983-0{number % 7 + 2}-24"})
            families.append(
                {**home, "first_name": "ursula", "birth_date": f"1957-11-{number % 20}"}
            )
        else:
            families += [home, {**home, "email": father["email"]}]
    joined = sure(score(table(families)))
    assert not [pair for pair in joined if pair[0] < 180]
    assert len([pair for pair in joined if pair[0] >= 180]) > 200


def people(value: str, *born: str | None, kind: str = "event") -> int:
    """How many people are records of one name, each seen with one value, or matched in a row."""
    nodes = {i: Node(i, "crm_id", "given", "john", "smith", date) for i, date in enumerate(born, 1)}
    if kind == "match":
        edges = [Edge(i, i, i + 1, "match", 0.0, 0.97) for i in range(1, len(born))]
    else:
        shared = len(born) + 1
        nodes[shared] = Node(shared, value, "given")
        edges = [Edge(i, i, shared, "event", float(i)) for i in range(1, shared)]
    return len({resolve(nodes, edges).person[i] for i in range(1, len(born) + 1)})


def test_what_a_household_shares_joins_nobody_with_their_parents() -> None:
    assert people("phone", "1955-03-11", "1983-07-24") == 2
    assert people("device_id", "1955-03-11", "1983-07-24") == 2
    # An address is rather one person's who has made a date up; nor is a digit of the year a parent.
    assert people("email", "1955-03-11", "1983-07-24") == 1
    assert people("phone", "1955-03-11", "1985-03-11") == 1
    assert people("phone", "1955-03-11", "1962-07-24") == 1
    assert people("phone", "1955", "1983") == 1


def test_who_states_no_date_makes_no_bridge_from_father_to_son() -> None:
    assert people("", "1955-03-11", None, "1983-07-24", kind="match") == 2
    # Where both say when they were born, the match has weighed it.
    assert people("", "1955-03-11", "1983-07-24", kind="match") == 1
